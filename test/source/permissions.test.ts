/** The permissions at NATS that docs/operations.md shows: each part has all that it needs, and nothing superfluous. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type NatsConnection } from "nats";
import type { DurableListener, StreamQuery } from "../../src/core/ports/source.ts";
import { subjectsIntersect } from "../../src/core/subject/subject.ts";
import { deniedSubject, hearErrors } from "../../src/source/connect.ts";
import { hasMore } from "../../src/source/jetstream/batches.ts";
import type { BucketRead } from "../../src/source/jetstream/key-bucket.ts";
import { StreamApi, type StreamInfo } from "../../src/source/jetstream/stream-api.ts";
import { NatsSource, type NatsSourceOptions } from "../../src/source/nats.ts";
import { Requests } from "../../src/source/requests.ts";
import { countTo } from "../contract/support/nats-fixture.ts";
import { EventLog, until } from "../support/event-log.ts";
import { connectLasting } from "../support/nats-connection.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import {
  ANSWERS,
  asConfig,
  PERMISSIONS,
  type Permission,
  permissionsOf,
  SHOWN_USER,
} from "../support/shown-permissions.ts";
import { Recorder } from "./recorder.ts";

/** More than JetStream sends before it asks whether messages were taken. */
const LARGE = new Uint8Array(700_000);

/** Returns a user of nats-server's configuration. */
function user(name: string, permissions: readonly Permission[], more: object = {}): string {
  const all = { ...asConfig(permissions), ...more };
  return JSON.stringify({ user: name, password: "x", permissions: all });
}

/** The subjects of which only nats-server's log tells that a permission is missing. */
const UNTOLD = /DIRECT\.GET|CONSUMER\.(INFO|DELETE)|STREAM\.NAMES/;
/** A user that may publish to inboxes only in answer to messages. */
const RESPONDS = "responds";

/** A part of the gateway that uses NATS. */
interface Part {
  readonly options?: (used: Used) => Partial<NatsSourceOptions>;
  use(used: Used): Promise<unknown>;
}

/** A gateway's source, logged in as one user. */
class Used {
  readonly recorder = new Recorder();
  readonly entries = new EventLog<string>("entries of a bucket");
  /** The errors of those who use the source. */
  readonly errors: string[] = [];
  readonly source: NatsSource;
  readonly user: string;
  readonly ended = new AbortController();

  constructor(user: string, part: Part) {
    this.user = user;
    this.source = new NatsSource({
      log: this.recorder.log,
      nats: { options: { servers: [server.url], name: "test", user, password: "x" } },
      ...part.options?.(this),
    });
    this.source.start(this.recorder);
  }

  async isConnected(): Promise<void> {
    await this.recorder.until("connected");
  }

  /** The stream is followed. @returns its origin. */
  async isFollowed(): Promise<string> {
    const { origin } = await this.recorder.tips.find(
      (tip) => tip.origin !== undefined && tip.isFollowed !== false,
    );
    return origin!;
  }

  /** Everything that operators and clients are told. */
  get said(): string {
    const { faults, refusals, streamRefusals, everythingSaid } = this.recorder;
    const told = [faults, refusals, streamRefusals].map(({ entries }) => entries as unknown[]);
    return `${JSON.stringify([told, this.source.problems, this.errors])}${everythingSaid}`;
  }

  get bucket(): Omit<BucketRead, "name"> {
    return {
      needs: { key: "k", lifeMs: 0, otherwise: "", storage: "memory" },
      listener: { changed: (key) => this.entries.add(key) },
    };
  }

  async stop(): Promise<void> {
    await this.source.stop(1_000);
    for (const log of [this.recorder.tips, this.recorder.messages, this.entries]) {
      log.end("the gateway was stopped");
    }
  }
}

let server: NatsServer;
let tests: NatsConnection;
let made = 0;

const STREAM = {
  streams: [{ name: "ORDERS", subjects: ["orders.eu.>"] }],
  durables: {
    ackTimeoutMs: 30_000,
    maxInflightMessages: 10,
    maxInflightBytes: 1_000_000,
    durableTtlMs: 60_000,
    maxDurables: 1_000,
    maxDurablesPerSub: 1_000,
  },
};

async function useStream(used: Used): Promise<void> {
  const origin = await used.isFollowed();
  const stream = tests.jetstream();
  for (const _ of countTo(3)) await stream.publish("orders.eu.large", LARGE);
  await used.recorder.messages.take(3);
  const query: StreamQuery = { origin, subjects: ["orders.eu.small"] };
  const { history } = used.source;
  await history!.read(query, 0);
  for await (const _ of history!.latest(query, "last")) break;
  await asApi(used, async (api) => {
    // If a stream has several replicas, a gateway asks the leader, as a replica may lag.
    const { last } = await api.stream("ORDERS");
    await hasMore(api, query, {}, 0, { replicas: 3, last } as StreamInfo);
    await askWhetherPaused(api, "ORDERS");
  });
}

/** A gateway does so when nothing comes of a stream for 10 s although it has more. */
async function askWhetherPaused(api: StreamApi, stream: string): Promise<void> {
  await api.expectUnpaused(stream, "C");
}

/** Does with JetStream as a user what would take long, or several servers, with a source. */
async function asApi(
  { user, recorder }: Used,
  ask: (api: StreamApi) => Promise<void>,
): Promise<void> {
  const connection = await connect({ servers: server.url, user, pass: "x" });
  const ignore = () => {};
  const denied = ({ message }: Error) => recorder.fault("publish_refused", message);
  const requests = new Requests(connection, {
    unreadable: ignore,
    fault: ignore,
    denied,
    refused: ignore,
  });
  const stopHearing = hearErrors(connection, (reason) => {
    const subject = deniedSubject(reason);
    if (subject !== undefined) requests.denied(subject);
  });
  await ask(new StreamApi(requests)).finally(() => {
    stopHearing?.();
    return connection.close();
  });
}

async function useDurable(used: Used): Promise<void> {
  await used.isFollowed();
  const other = new Used(used.user, PARTS.durables!);
  try {
    const query = { name: `d${made++}`, owner: "", stream: "ORDERS", subjects: ["orders.eu.>"] };
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const listener: DurableListener = {
      roomBytes: 1_000_000,
      settledUpTo: undefined,
      begins() {},
      missed() {},
      message({ receipt }) {
        use.settle(receipt, "ack");
        first.resolve();
      },
      taken: () => second.resolve(),
      refused: (_, reason) => first.reject(new Error(reason)),
    };
    const use = used.source.durables!.use({ ...query, start: "all" }, listener);
    await first.promise;
    await other.isFollowed();
    other.source.durables!.use({ ...query, start: "all" }, { ...listener, message() {} });
    await second.promise;
  } finally {
    await other.stop();
  }
}

async function usePublisher(used: Used): Promise<void> {
  await used.isConnected();
  const { signal } = used.ended;
  const rest = { data: new Uint8Array(), headers: new Map() };
  const publisher = used.source.clientPublisher;
  expect(await publisher.publish({ subject: "chat.room", ...rest }, signal)).toMatchObject({
    stored: { stream: "CHAT" },
  });
  const reply = await publisher.request({ subject: "svc.price", ...rest }, signal);
  expect(reply.kind).toBe("reply");
}

async function take(entries: EventLog<string>, name: string): Promise<void> {
  await entries.find((key) => key === name);
}

/** By their names in the block. */
const PARTS: Readonly<Record<string, Part>> = {
  subjects: {
    async use({ source, recorder }) {
      source.subscribe("prices.>");
      await recorder.arrivals.next();
    },
  },
  streams: { options: () => STREAM, use: useStream },
  durables: { options: () => STREAM, use: useDurable },
  "messages and requests of clients": { use: usePublisher },
  presence: {
    options: ({ bucket }) => ({ reads: { presence: { name: "presence", ...bucket } } }),
    async use(used) {
      await used.isConnected();
      const bucket = used.source.presenceBucket!;
      for (const n of countTo(3)) bucket.put(`${used.user}.${n}`, "x".repeat(LARGE.length));
      await take(used.entries, `${used.user}.2`);
      await asApi(used, (api) => askWhetherPaused(api, "KV_presence"));
    },
  },
  revocation_bucket: {
    options: ({ bucket }) => ({ reads: { bucket: { name: "revoked", ...bucket } } }),
    async use(used) {
      await used.isConnected();
      for (const n of countTo(3)) {
        await used.source.store(`${used.user}.${n}`, "x".repeat(LARGE.length));
      }
      await take(used.entries, `${used.user}.2`);
      await asApi(used, (api) => askWhetherPaused(api, "KV_revoked"));
    },
  },
  revocation_subject: {
    options: ({ entries }) => ({
      reads: { subject: { name: "revocations", take: () => entries.add("revoked") } },
    }),
    async use(used) {
      await used.isConnected();
      used.source.publish({ subject: "revocations", data: new Uint8Array() });
      await take(used.entries, "revoked");
    },
  },
  authorizer_subject: {
    async use(used) {
      await used.isConnected();
      await used.source.request("auth.gateway", "{}", 5_000);
    },
  },
  dead_letter_subject: {
    async use(used) {
      await used.isConnected();
      used.source.publish({ subject: "dead.letters", data: new Uint8Array() });
    },
  },
};

/** All pairs of a permission and a part that needs it; durables also need the permissions of streams. */
const NEEDS = Object.keys(PARTS).flatMap((part) =>
  permissionsOf(part)
    .filter((needed) => needed.part === part || needed.part === ANSWERS)
    .map((needed, index) => ({ part, needed, user: `${part}-${index}` })),
);

beforeAll(async () => {
  const users = [
    SHOWN_USER.replace("$GATEWAY_PASSWORD", "x"),
    ...Object.keys(PARTS).map((part) => user(part, permissionsOf(part))),
    ...NEEDS.map((one) =>
      user(
        one.user,
        permissionsOf(one.part).filter((other) => other !== one.needed),
      ),
    ),
    user(
      RESPONDS,
      permissionsOf("durables").filter(
        (one) => one.action === "subscribe" || one.subject !== "_INBOX.>",
      ),
      { allow_responses: true },
    ),
    user("silent", []),
    `{ user: tests, password: "x" }`,
  ];
  server = await startNatsServer({
    jetstream: true,
    config: `no_auth_user: tests\nauthorization { users: [${users.join("\n")}] }`,
  });
  tests = await connectLasting(server.url);
  const manager = await tests.jetstreamManager();
  await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"], allow_direct: true });
  await manager.streams.add({ name: "CHAT", subjects: ["chat.>"] });
  await tests.jetstream().publish("orders.eu.small", "{}");
  for (const name of ["presence", "revoked"]) await tests.jetstream().views.kv(name);
  for (const service of ["svc.price", "auth.gateway"]) {
    tests.subscribe(service, { callback: (_, msg) => void msg.respond("{}") });
  }
  await tests.flush();
});

afterAll(async () => {
  await tests.close();
  await server.stop();
});

/** Reads a line of nats-server's log; before 2.12, the user comes after the words. */
function violationIn({ text }: { readonly text: string }) {
  const [, action, subject] =
    /(Publish|Subscription) Violation .*Subject "([^"]+)"/.exec(text) ?? [];
  if (action === undefined) return undefined;
  const [, user] = /\b[Uu]ser(?::| ")([^"]+)"/.exec(text) ?? [];
  return { action: action === "Publish" ? "publish" : "subscribe", user, subject };
}

/** Returns what NATS has refused a user until now. */
async function refusalsOf(user: string) {
  const silent = await connect({ servers: server.url, user: "silent", pass: "x" });
  const mark = `mark.${made++}`;
  silent.publish(mark);
  await server.lines.find((line) => violationIn(line)?.subject === mark);
  await silent.close();
  return server.lines.entries.flatMap((line) => {
    const found = violationIn(line);
    return found && found.user === user ? [found] : [];
  });
}

test("The block has a part for each thing that the gateway does at NATS", () => {
  const parts = new Set(PERMISSIONS.map(({ part }) => part));
  expect([...parts].toSorted()).toEqual([...Object.keys(PARTS), ANSWERS].toSorted());
});

describe.each(Object.keys(PARTS))("The part of %s", (part) => {
  test.each([part, "gateway", ...(part === "durables" ? [RESPONDS] : [])])(
    "is used without a refusal by the user %s",
    async (user) => {
      const used = new Used(user, PARTS[part]!);
      await PARTS[part]!.use(used);
      await used.stop();
      expect(await refusalsOf(user)).toEqual([]);
      expect(used.recorder.faults.entries).toEqual([]);
    },
  );

  test.each(NEEDS.filter((one) => one.part === part))(
    "needs to $needed.action $needed.subject",
    async ({ needed, user }) => {
      const refused = server.lines.find((line) => violationIn(line)?.user === user);
      const used = new Used(user, PARTS[part]!);
      const using = PARTS[part]!.use(used).catch((error: unknown) => used.errors.push(`${error}`));
      await Promise.race([refused, using]);
      const subject = needed.subject.replace(/\.[*>]$/, "");
      if (!UNTOLD.test(subject)) {
        await until(
          "word of it",
          async () => used.said,
          (said) => said.includes(subject),
        );
      }
      await used.stop();
      await refused;
      for (const { action, subject = "" } of await refusalsOf(user)) {
        expect(action).toBe(needed.action);
        expect(subjectsIntersect(needed.subject, subject)).toBe(true);
      }
    },
  );
});
