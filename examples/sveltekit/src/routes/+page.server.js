import process from "node:process";
import { connect } from "spillway/client";

const GATEWAY = process.env.GATEWAY ?? "ws://localhost:8080/ws";

/** The server's connection, one for all requests. The first one opens it, as the build loads this file, too. */
let connection;

/** Returns the latest price of each product, and where the page continues after them. */
export async function load() {
  connection ??= connect(GATEWAY);
  const prices = {};
  const stored = connection.subscribe("prices.*", { from: "last_per_subject" });
  for await (const item of stored) {
    if (item.type === "data") prices[item.subject] = item.payload.value;
    if (item.type === "caught_up") break;
  }
  const from = stored.cursor === undefined ? "last_per_subject" : { after: stored.cursor };
  return { gateway: GATEWAY, prices, from };
}

// An event of SvelteKit's adapter for Node: an open connection would keep the process alive.
process.once("sveltekit:shutdown", () => connection?.close());
