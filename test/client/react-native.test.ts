/** The surroundings of React Native, as far as they differ from a page's. `test/react-native` has its engine and its WebSocket. */
import { afterEach, expect, test } from "bun:test";
import { connect, type OpenTransport, serverSentEvents, webSocketOrEvents } from "spillway/client";
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

test("A stream says what to use where there is no ReadableStream, and the subscription goes on", async () => {
  const { connection } = start();
  const subscription = connection.subscribe("a.>");
  globalThis.ReadableStream = undefined as never;
  expect(() => subscription.stream()).toThrow("no ReadableStream: use the loop");
  expect(subscription.isOver).toBe(false);
  await connection.close();
});
