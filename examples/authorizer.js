// A service that decides who clients are. Try it: `node examples/authorizer.js`
import process from "node:process";
import { connect } from "nats";

const users = new Map([["token-of-ann", "ann"]]); // yours: the sessions of your site, or a database
const nats = await connect({ servers: process.env.NATS_URL ?? "nats://localhost:4222" });
nats.subscribe("_AUTH.gateway", {
  queue: "authorizers",
  callback: (_, request) => answer(request).catch(() => {}), // not a gateway's request
});
await nats.flush();
process.stdout.write("Listening on _AUTH.gateway\n");

async function answer(request) {
  const sub = users.get(request.json().credentials.token);
  const exp = Math.floor(Date.now() / 1000) + 300;
  const subjects = { allow: [`orders.${sub}.>`] };
  const claims = { sub, exp, authorization_details: [{ type: "spillway", subjects }] };
  request.respond(JSON.stringify(sub === undefined ? { refused: "unknown token" } : claims));
}
