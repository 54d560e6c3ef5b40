// A service that decides who clients are. Try it: `node examples/authorizer.js`
import process from "node:process";
import { connect, JSONCodec } from "nats";

const users = new Map([["token-of-ann", "ann"]]); // yours: the sessions of your site, or a database
const json = JSONCodec();
const nats = await connect({ servers: process.env.NATS_URL ?? "nats://localhost:4222" });
const requests = nats.subscribe("_AUTH.gateway", { queue: "authorizers" });
await nats.flush();
process.stdout.write("Listening on _AUTH.gateway\n");

for await (const request of requests) {
  const sub = users.get(tokenIn(request.data));
  const exp = Math.floor(Date.now() / 1000) + 300;
  const subjects = { allow: [`orders.${sub}.>`] };
  const claims = { sub, exp, authorization_details: [{ type: "spillway", subjects }] };
  request.respond(json.encode(sub === undefined ? { refused: "unknown token" } : claims));
}

function tokenIn(data) {
  try {
    return json.decode(data).credentials.token;
  } catch {
    return undefined; // not a gateway's request
  }
}
