// Prints orders as lines of JSON. Try it: see README.md
import { connect } from "spillway/client"; // in your project: "npm:spillway/client"

const [gateway = "ws://localhost:8080/ws", subjects = "orders.>"] = Deno.args;
const print = (to, line) => to.writeSync(new TextEncoder().encode(`${line}\n`));
await using connection = connect(gateway);
const orders = connection.subscribe(subjects);
Deno.addSignalListener("SIGTERM", () => orders.close());

for await (const item of orders) {
  if (item.type === "data") print(Deno.stdout, JSON.stringify([item.subject, item.payload]));
  else if (item.type === "gap") print(Deno.stderr, `Messages are missing: ${item.reason}`);
}
