/** The core's words about subjects, held against a real nats-server. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createConnection, type Socket } from "node:net";
import fc from "fast-check";
import { subjectMatches } from "../../../src/core/subject/subject.ts";
import { subjectFault } from "../../../src/protocol/subject.ts";
import { EventLog } from "../../support/event-log.ts";
import { type NatsServer, startNatsServer } from "../../support/nats-server.ts";

const WORDS = ["a", "b", "$a", "ä", "*a", "a>", "**"];
const literal = fc
  .array(fc.constantFrom(...WORDS), { minLength: 1, maxLength: 4 })
  .map((tokens) => tokens.join("."));
const pattern = fc
  .tuple(
    fc.array(fc.constantFrom(...WORDS, "*"), { maxLength: 3 }),
    fc.constantFrom(...WORDS, "*", ">"),
  )
  .map(([tokens, last]) => [...tokens, last].join("."));
// What ends a subject in the protocol's lines can't be asked about by such lines.
const anything = fc
  .array(fc.constantFrom(...WORDS, "*", ">", ""), { minLength: 1, maxLength: 4 })
  .map((tokens) => tokens.join("."))
  .filter((text) => text !== "");

let server: NatsServer;
let nats: RawNatsClient;

beforeAll(async () => {
  server = await startNatsServer({ websocket: false });
  nats = await RawNatsClient.open(server.port);
});
afterAll(async () => {
  nats.close();
  await server.stop();
});

describe("subjectMatches", () => {
  test("is true for the subjects that nats-server delivers to a pattern", async () => {
    await fc.assert(
      fc.asyncProperty(pattern, literal, async (subscribed, published) => {
        const answers = await nats.ask(`SUB ${subscribed} 1`, `PUB ${published} 0\r\n`, "UNSUB 1");
        const delivered = answers.includes(`MSG ${published} 1 0`);
        expect(subjectMatches(subscribed, published)).toBe(delivered);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("subjectFault", () => {
  test("finds a fault where nats-server refuses a subscription", async () => {
    await fc.assert(
      fc.asyncProperty(anything, async (subject) => {
        const answers = await nats.ask(`SUB ${subject} 1`, "UNSUB 1");
        const refused = answers.includes("-ERR 'Invalid Subject'");
        expect(subjectFault(subject, true) !== undefined).toBe(refused);
      }),
      { numRuns: 1_000 },
    );
  });

  test("finds a fault where nats-server refuses to publish", async () => {
    await fc.assert(
      fc.asyncProperty(anything, async (subject) => {
        const answers = await nats.ask(`PUB ${subject} 0\r\n`);
        const refused = answers.includes("-ERR 'Invalid Publish Subject'");
        expect(subjectFault(subject, false) !== undefined).toBe(refused);
      }),
      { numRuns: 1_000 },
    );
  });
});

/** Talks to nats-server in its own protocol, pedantically: it checks subjects only then. */
class RawNatsClient {
  readonly #socket: Socket;
  readonly #lines: EventLog<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = new EventLog<string>("nats-server", (line) => line);
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      const lines = (rest + text).split("\r\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#lines.add(line);
    });
    socket.on("close", () => this.#lines.end("closed the connection"));
  }

  static async open(port: number): Promise<RawNatsClient> {
    const client = new RawNatsClient(createConnection(port, "127.0.0.1"));
    await client.ask(`CONNECT {"verbose":false,"pedantic":true,"echo":true}`);
    return client;
  }

  /** What nats-server says before it has done all that it was told. */
  async ask(...commands: string[]): Promise<string[]> {
    this.#socket.write(`${commands.join("\r\n")}\r\nPING\r\n`);
    const answers: string[] = [];
    for (;;) {
      const line = await this.#lines.next("answer");
      if (line === "PONG") return answers;
      if (line === "PING") this.#socket.write("PONG\r\n");
      else answers.push(line);
    }
  }

  close(): void {
    this.#socket.end();
  }
}
