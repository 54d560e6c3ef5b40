/** A component with `useStream`, rendered without a DOM, inside the engine. */
import { createElement, StrictMode } from "react";
import { connect } from "spillway/client";
import { useConnectionState, useStream } from "spillway/react";
import { FakePlatform } from "../../client/support/fake-platform.ts";
import { ModelGateway } from "../../client/support/model-gateway.ts";
import { say } from "./say.ts";

declare const require: (file: string) => unknown;

interface Renderer {
  create(element: unknown): { toJSON(): unknown; unmount(): void };
}

const { create } = require("react-test-renderer") as Renderer;
const fake = new FakePlatform();
const gateway = new ModelGateway("at-most-once", () => 0.9);
fake.opened = (socket) => void fake.platform.timer(1, () => gateway.accept(socket));
const connection = connect("ws://model", { platform: fake.platform });

function Count() {
  const { type } = useConnectionState(connection);
  const { value } = useStream<unknown, number>(connection, "x.>", {
    from: "all",
    start: 0,
    everyMs: 0,
    fold: (count, item) => count + (item.type === "data" ? 1 : 0),
  });
  return `${type} ${value}`;
}

/** Lets the gateway, the client and React do what they have to do. */
async function worked(): Promise<void> {
  for (let round = 0; round < 20; round++) {
    gateway.work();
    await fake.advance(500);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

void (async () => {
  try {
    const root = create(createElement(StrictMode, null, createElement(Count)));
    await worked();
    say("before", root.toJSON());
    for (const _ of [1, 2]) gateway.publish("x.a");
    await worked();
    say("live", root.toJSON());
    gateway.end(gateway.connections[0]!, 1006);
    gateway.publish("x.a");
    await worked();
    say("resumed", root.toJSON());
    root.unmount();
    await worked();
    say("subscriptions", gateway.connections[0]!.session.subscriptions.size);
    await connection.close();
  } catch (error) {
    say("failed", `${error}`);
  }
})();
