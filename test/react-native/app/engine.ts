/** The parts of the client that use more than the language, inside the engine. Each check writes its name, and what went wrong. */
import { connect, GapError, SpillwayError, serverSentEvents, shared } from "spillway/client";
import { FakePlatform, settled } from "../../client/support/fake-platform.ts";
import { ModelGateway } from "../../client/support/model-gateway.ts";
import { say } from "./say.ts";

declare const require: (file: string) => unknown;

interface Numbered {
  readonly n: number;
}

function same(actual: unknown, expected: unknown): void {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (is !== should) throw new Error(`${is} instead of ${should}`);
}

/** A connection to the model of a gateway. Random ids are the platform's own. */
function start(options: Parameters<typeof connect>[1] = {}) {
  const fake = new FakePlatform();
  const gateway = new ModelGateway("at-most-once", () => 0.9);
  fake.opened = (socket) => void fake.platform.timer(1, () => gateway.accept(socket));
  const { uuid: _, ...platform } = fake.platform;
  const connection = connect("ws://model", { ...options, platform });
  const worked = async (): Promise<void> => {
    for (let round = 0; round < 20; round++) {
      gateway.work();
      await fake.advance(200);
    }
  };
  return { fake, gateway, connection, worked };
}

const MISSING = ["crypto", "ReadableStream", "TextDecoder", "structuredClone", "BroadcastChannel"];

const CHECKS: Readonly<Record<string, () => Promise<void>>> = {
  async "the engine lacks what the client must do without"() {
    same(typeof Symbol.asyncIterator, "undefined");
    for (const name of MISSING) same([name, name in globalThis], [name, false]);
  },

  async "a loop over messages resumes after a lost connection, and throws at a gap"() {
    const { gateway, connection, worked } = start();
    const seen: (string | undefined)[] = [];
    const subscription = connection.subscribe<Numbered>("x.a", { from: "all" });
    const loop = (async () => {
      for await (const { id } of subscription.messages()) seen.push(id);
    })().catch((error) => error);
    gateway.publish("x.a");
    await worked();
    gateway.end(gateway.connections[0]!, 1006);
    gateway.publish("x.a");
    await worked();
    same(seen, ["S:e1:1", "S:e1:2"]);
    gateway.end(gateway.connections[0]!, 1006);
    for (const _ of [3, 4]) gateway.publish("x.a");
    gateway.expire(4);
    await worked();
    const error = await loop;
    same([error instanceof GapError, error instanceof SpillwayError], [true, true]);
    same([error instanceof Error, error.code, error.name], [true, "gap", "GapError"]);
    same(subscription.isOver, true);
    await connection.close();
  },

  async "a snapshot store folds the items"() {
    const { gateway, connection, worked } = start();
    const store = connection
      .subscribe("x.>", { from: "all" })
      .snapshot((count, { type }) => count + (type === "data" ? 1 : 0), 0);
    let calls = 0;
    store.subscribe(() => calls++);
    for (const _ of [1, 2, 3]) gateway.publish("x.b");
    await worked();
    same([store.getSnapshot(), calls > 0], [3, true]);
    await connection.close();
  },

  async "bytes, a token and random names need no crypto"() {
    const { fake, connection, worked } = start({ token: "töken" });
    await worked();
    same(fake.last.protocols[1], "spillway-token.dMO2a2Vu");
    const bytes = new Uint8Array([0, 255, 16]);
    for (const _ of [1, 2]) connection.publish("x.a", bytes).catch(() => {});
    await settled();
    const [one, other] = fake.last.sent.filter(({ type }) => type === "publish");
    same([one?.encoding, one?.payload], ["base64", "AP8Q"]);
    same([String(one?.id).length > 16, one?.id === other?.id], [true, false]);
    await connection.close();
  },

  async "a stream says what to use instead"() {
    const { connection } = start();
    const subscription = connection.subscribe("x.a");
    let message = "";
    try {
      subscription.stream();
    } catch (error) {
      message = (error as Error).message;
    }
    same(message, "This runtime has no ReadableStream: use the loop");
    await connection.close();
  },

  async "a connection that is shared is one of its own"() {
    const options = { token: "t" };
    same(shared(options) === options, true);
  },

  async "server-sent events say what is missing"() {
    require("whatwg-fetch");
    const whole = async () => new Response(null, { status: 204 });
    const { platform } = new FakePlatform();
    const errors: string[] = [];
    const connection = connect("ws://model/ws", {
      transport: serverSentEvents(),
      platform: { ...platform, fetch: whole as unknown as typeof fetch },
    });
    connection.on("error", ({ message }) => errors.push(message));
    await settled();
    same(errors, ["Cannot connect: 1006 fetch doesn't stream: pass another one in platform"]);
    await connection.close();
  },
};

void (async () => {
  for (const [name, check] of Object.entries(CHECKS)) {
    try {
      await check();
      say(name);
    } catch (error) {
      say(name, `${error}`);
    }
  }
})();
