import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { connect, type Msg, headers as makeHeaders, type NatsConnection } from "nats";
import type { StreamPage } from "../../src/core/ports/source.ts";
import { JetStreamHistory } from "../../src/source/jetstream/history.ts";
import { StreamApi } from "../../src/source/jetstream/stream-api.ts";
import { Requests } from "../../src/source/requests.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";

const API = "$JS.API";
const STATE = { first_seq: 1, last_seq: 9, messages: 9, num_deleted: 0 };
const CREATED = "2026-01-01T00:00:00Z";
const ORIGIN = `KEPT:${BigInt(`${Date.parse(CREATED) / 1000}000000000`).toString(36)}`;
const QUERY = { origin: ORIGIN, subjects: ["kept.>"] };

let server: NatsServer;
/** The gateway's connection, and that of a JetStream which does as the test says. */
let connection: NatsConnection;
let jetstream: NatsConnection;
let history: JetStreamHistory;
/** The numbers of batches that were asked for, and of consumers that were refused. */
let asked = 0;
let refused = 0;

beforeAll(async () => {
  // Its account has no JetStream, so that the subjects of the API are free.
  server = await startNatsServer();
  connection = await connect({ servers: server.url });
  jetstream = await connect({ servers: server.url });
  const serve = (subject: string, respond: (msg: Msg) => void) =>
    jetstream.subscribe(`${API}.${subject}`, { callback: (_, msg) => respond(msg) });
  const config = { subjects: ["kept.>"], allow_direct: true };
  const info = { created: CREATED, state: STATE, config };
  serve("STREAM.INFO.KEPT", (msg) => msg.respond(JSON.stringify(info)));
  serve("DIRECT.GET.KEPT", (msg) => sendOne(msg));
  const unavailable = { code: 503, err_code: 10008, description: "it is not available" };
  serve("CONSUMER.CREATE.KEPT", (msg) => {
    refused++;
    msg.respond(JSON.stringify({ error: unavailable }));
  });
  await jetstream.flush();
});

beforeEach(() => {
  asked = 0;
  refused = 0;
  const ignore = () => {};
  const faults = { unreadable: ignore, fault: ignore, denied: ignore, refused: ignore };
  const api = new StreamApi(new Requests(connection, faults));
  history = new JetStreamHistory(() => api);
});

afterEach(async () => {
  history.close();
  // A batch that the last reader asked for ahead doesn't count for the next test.
  await connection.flush();
  await jetstream.flush();
});

afterAll(async () => {
  await connection.close();
  await jetstream.close();
  await server.stop();
});

/** Answers with the one message that is asked for; the second time with none, so that a consumer is needed. */
function sendOne(msg: Msg): void {
  if (++asked === 2) {
    msg.respond("", { headers: makeHeaders(408, "Bad Request") });
    return;
  }
  const { seq } = msg.json<{ seq: number }>();
  const headers = makeHeaders();
  headers.set("Nats-Stream", "KEPT");
  headers.set("Nats-Subject", "kept.a");
  headers.set("Nats-Sequence", String(seq));
  headers.set("Nats-Time-Stamp", CREATED);
  msg.respond("{}", { headers });
  const end = makeHeaders(204, "EOB");
  end.set("Nats-Num-Pending", String(STATE.last_seq - seq));
  msg.respond("", { headers: end });
}

/** Reads the first page, until the one that is read ahead has failed. */
async function readFirst(): Promise<StreamPage | undefined> {
  const page = await history.read(QUERY, 0);
  while (refused === 0) await connection.flush();
  await jetstream.flush();
  await connection.flush();
  return page;
}

const sequencesOf = (page: StreamPage | undefined) =>
  page?.messages.map(({ position }) => position?.sequence);

describe("An error of the page that is read ahead", () => {
  test("is that of the client who asks for this page, and of nobody after it", async () => {
    expect(sequencesOf(await readFirst())).toEqual([1]);
    await expect(history.read(QUERY, 1)).rejects.toThrow("it is not available");
    expect(sequencesOf(await history.read(QUERY, 1))).toEqual([2]);
  });

  test("is nobody's if nobody asks for it", async () => {
    // Bun fails a test for an error that nobody takes.
    await readFirst();
    history.close();
    await connection.flush();
  });
});
