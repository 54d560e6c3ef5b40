/** The surroundings of React Native, as far as they differ from a page's. `test/react-native` has its engine and its WebSocket. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  type Connection,
  type ConnectOptions,
  connect,
  type OpenTransport,
  serverSentEvents,
  webSocketOrEvents,
} from "spillway/client";
import { FakePlatform, settled } from "./support/fake-platform.ts";

const { ReadableStream } = globalThis;
afterEach(() => {
  globalThis.ReadableStream = ReadableStream;
});

/** React Native's `fetch`: a response without a body. */
const wholeFetch = (async () => ({ status: 204 })) as unknown as typeof fetch;

function start(transport?: OpenTransport) {
  const fake = new FakePlatform();
  const platform = { ...fake.platform, fetch: wholeFetch };
  const connection = connect("wss://gateway/ws", { platform, ...(transport && { transport }) });
  const errors: string[] = [];
  connection.on("error", ({ message }) => errors.push(message));
  return { fake, connection, errors };
}

test("A WebSocket that can be closed only when it is open, as on Android, is closed then, and its session kept", async () => {
  const { fake, connection } = start();
  fake.opened = (socket) => {
    const close = socket.close.bind(socket);
    socket.close = (code) => {
      if (socket.readyState === 1) close(code);
    };
  };
  await settled();
  fake.live("pagehide");
  expect(fake.last.closedWith).toBeUndefined();
  fake.last.open();
  expect(fake.last.closedWith).toBe(3000);
  await connection.close();
});

test("Server-sent events say so if `fetch` can't stream", async () => {
  const { connection, errors } = start(serverSentEvents());
  await settled();
  expect(errors).toEqual([expect.stringContaining("fetch doesn't stream: pass another one")]);
  expect(connection.state.type).toBe("waiting");
  await connection.close();
});

test("A WebSocket that can't be opened for a while is tried again if `fetch` can't stream", async () => {
  const { fake, connection, errors } = start(webSocketOrEvents());
  await settled();
  for (const _ of [1, 2]) {
    fake.last.end();
    await fake.advance(1000);
  }
  expect(errors.at(-1)).toContain("fetch doesn't stream");
  await fake.advance(10_000);
  expect(fake.sockets.length).toBe(3);
  await connection.close();
});

/** Makes the connection of an app, with the code of docs/client.md. */
function connectAsDocumented(surroundings: Readonly<Record<string, unknown>>): Connection {
  const page = readFileSync(new URL("../../docs/client.md", import.meta.url), "utf8");
  const piece = /^```ts\n(import NetInfo .*?)^```$/ms.exec(page)![1]!.replace(/^import .*$/gm, "");
  const code = new Bun.Transpiler({ loader: "ts" }).transformSync(
    `${piece}\nexport { connection };`,
  );
  const body = code.replace(/export \{\s*connection\s*\};?/, "return connection;");
  return new Function(...Object.keys(surroundings), body)(...Object.values(surroundings));
}

test("The documented app closes in the background, is back in front and with the network, and leaves no listener", async () => {
  const fake = new FakePlatform();
  const states = new Set<(state: string) => void>();
  const networks = new Set<(state: { isConnected: boolean }) => void>();
  const AppState = {
    currentState: "active",
    addEventListener(_type: "change", listener: (state: string) => void) {
      states.add(listener);
      return { remove: () => states.delete(listener) };
    },
  };
  const NetInfo = {
    addEventListener(listener: (state: { isConnected: boolean }) => void) {
      networks.add(listener);
      listener({ isConnected: true });
      return () => networks.delete(listener);
    },
  };
  const turn = (state: string): void => {
    AppState.currentState = state;
    for (const listener of states) listener(state);
  };
  const connection = connectAsDocumented({
    ...{ AppState, NetInfo, url: "wss://gateway/ws" },
    connect: (url: string, { platform, ...options }: ConnectOptions) =>
      connect(url, { ...options, platform: { ...fake.platform, ...platform } }),
  });
  await settled();
  expect(fake.sockets.length).toBe(1);
  fake.last.open();
  turn("inactive");
  expect(fake.last.closedWith).toBeUndefined();
  turn("background");
  expect([fake.last.closedWith, connection.state.type]).toEqual([3000, "idle"]);
  for (const tell of networks) tell({ isConnected: true });
  await fake.advance(100_000);
  expect(fake.sockets.length).toBe(1);
  turn("active");
  await fake.advance(1000);
  expect(fake.sockets.length).toBe(2);
  fake.last.end();
  expect(connection.state.type).toBe("waiting");
  await fake.advance(1000);
  const { length } = fake.sockets;
  fake.last.end();
  for (const tell of networks) tell({ isConnected: false });
  for (const tell of networks) tell({ isConnected: true });
  await fake.advance(1000);
  expect(fake.sockets.length).toBe(length + 1);
  await connection.close();
  expect([states.size, networks.size]).toEqual([0, 0]);
});

test("A stream says what to use where there is no ReadableStream, and the subscription goes on", async () => {
  const { connection } = start();
  const subscription = connection.subscribe("a.>");
  globalThis.ReadableStream = undefined as never;
  expect(() => subscription.stream()).toThrow("no ReadableStream: use the loop");
  expect(subscription.isOver).toBe(false);
  await connection.close();
});
