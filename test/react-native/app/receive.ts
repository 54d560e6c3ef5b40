/** An app at a real gateway, with React Native's own `WebSocket`. */
import { type Connection, connect } from "spillway/client";
import { say } from "./say.ts";

declare const require: (file: string) => { readonly default: unknown };
declare const GATEWAY: string;

Object.assign(globalThis, {
  WebSocket: require("react-native/Libraries/WebSocket/WebSocket").default,
});

async function receive(connection: Connection): Promise<void> {
  connection.on("state", ({ type }) => say("state", type));
  for await (const item of connection.subscribe<{ n: number }>("orders.*", { from: "all" })) {
    if (item.type !== "data") say(item.type);
    else if (item.payload.n < 0) break;
    else say("data", item.payload.n);
  }
  const { stream } = await connection.publish("orders.back", { n: -2 });
  say("published", stream);
}

void (async () => {
  const connection = connect(GATEWAY, { retry: { firstMs: 50, mostMs: 200 } });
  await receive(connection).catch((error) => say("failed", `${error}`));
  await connection.close();
  // Another one is closed while its socket connects, which the native module may ignore. If it stays, the app doesn't end.
  const abandoned = connect(GATEWAY);
  for (let step = 0; step < 20; step++) await undefined;
  await abandoned.close();
})();
