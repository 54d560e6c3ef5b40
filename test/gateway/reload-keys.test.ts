import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashPassword } from "../../src/access/password-hash.ts";
import { signToken } from "../../src/access/sign-token.ts";
import type { ConfigInput } from "../../src/config/input.generated.ts";
import { keyTable } from "../../src/config/key-table.ts";
import type { GatewayDeps } from "../../src/gateway/deps.ts";
import { ReloadWorld, type WorldClient } from "./support/reload-world.ts";

type Look = (world: ReloadWorld) => unknown | Promise<unknown>;

/** Makes a key visible: two values, and what somebody sees with each. */
interface Probe {
  readonly values: readonly [before: unknown, after: unknown];
  /** The other keys. */
  readonly config?: ConfigInput;
  readonly deps?: GatewayDeps;
  readonly look: Look;
}

const directory = mkdtempSync(join(tmpdir(), "spillway-reload-keys-"));
afterAll(() => rmSync(directory, { recursive: true }));
const file = (name: string, content: unknown): string => {
  const path = join(directory, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
};

const DETAILS = [
  {
    type: "spillway",
    subjects: { allow: [">"] },
    actions: ["subscribe", "publish", "request"],
  },
];
const TOKEN = "token-0123456789abcdef0123456789abcdef";
const OTHER = "other-0123456789abcdef0123456789abcdef";
const tokensFile = (name: string, token: string): string =>
  file(name, [
    {
      sha256: createHash("sha256").update(token).digest("hex"),
      sub: "ann",
      authorization_details: DETAILS,
    },
  ]);
const TOKENS = tokensFile("tokens.json", TOKEN);
const bearer = { headers: { Authorization: `Bearer ${TOKEN}` } };

const SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef";
const KEYS = file("keys.txt", SECRET);
const issuerOf = (issuer: string) => [
  { issuer, audience: ["a"], keys_file: KEYS, algorithms: ["HS256" as const] },
];
/** A token that has expired 30 seconds ago, or expires later. */
let expired = "";
let valid = "";
let userFiles: readonly string[] = [];

/** Connects so many clients, and returns how many of them are let in. */
const letIn =
  (count: number, ...options: Parameters<ReloadWorld["connect"]>): Look =>
  async (world) => {
    let served = 0;
    for (let n = 0; n < count; n++) {
      if ((await world.connect(...options)).status === 101) served++;
    }
    return served;
  };

/** Returns the type of the answer to a subscription, and what it says. */
const subscribing =
  (subjects: readonly string[], more: object = {}): Look =>
  async (world) => {
    const client = await world.connectV1();
    return shown(client, client.ask({ type: "subscribe", id: "s", subjects, ...more }));
  };

function shown(_client: WorldClient, frames: readonly Record<string, unknown>[]): unknown {
  return frames.map(({ type, policy, subjects, error }) => ({
    ...{ type, policy, subjects, code: (error as { code?: unknown } | undefined)?.code },
  }));
}

/** A client that subscribes to `a` and doesn't read, and so many messages of 1000 bytes to it. */
async function unread(world: ReloadWorld, messages: number, more: object = {}) {
  const client = await world.connectV1();
  client.ask({ type: "subscribe", id: "s", subjects: ["a"], ...more });
  client.socket.reads = false;
  for (let n = 0; n < messages; n++) {
    world.publish("a", "x".repeat(1000));
    world.clock.advance(10);
  }
  return client;
}

/** Returns how much of a client's queue is left out, and how it ended. */
const queueing: Look = async (world) => {
  const client = await unread(world, 40, { policy: "drop-oldest" });
  world.clock.advance(20_000);
  world.publish("a", "last");
  world.clock.advance(100);
  const { queued, dropped } = world.gateway.stats().ledger;
  return { queued, dropped, closed: client.socket.closedWith };
};
const LAGS_SOON: ConfigInput = {
  high_water_bytes: 2000,
  low_water_bytes: 1,
  mark_interval: "0s",
  write_timeout: "1h",
  max_queue_age: "1h",
};

/** Returns whether the gateway is still subscribed some time after the last client has left. */
const lingering: Look = async (world) => {
  const client = await world.connectV1();
  client.ask({ type: "subscribe", id: "s", subjects: ["a"] });
  client.ask({ type: "unsubscribe", sub: "s" });
  world.clock.advance(5000);
  return world.gateway.stats().upstream.subscriptions;
};

/** Returns which sessions are kept some time after their connections are lost. */
const detaching: Look = async (world) => {
  for (const session of ["session-of-one-0123456789", "session-of-two-0123456789"]) {
    const client = await world.connect({ query: `?subjects=a&session=${session}` });
    client.events.closed(1006);
  }
  world.publish("a", "x".repeat(1000));
  world.clock.advance(5000);
  return world.gateway.stats().sessions.detached;
};

const publishing = async (world: ReloadWorld, count: number, subject = "a") => {
  const statuses: number[] = [];
  for (let n = 0; n < count; n++) statuses.push(await world.post(subject));
  return statuses;
};

const page = (world: ReloadWorld, headers: Record<string, string>) =>
  world.request("/livez", headers);
const loggedIn =
  (headers: Record<string, string>, query = ""): Look =>
  async (world) =>
    (await world.connect({ headers, query })).status;

const AT_LEAST_ONCE: ConfigInput = { delivery_mode: "at-least-once" };
const HOOK: GatewayDeps = {
  authorize: () => ({ sub: "ann", authorization_details: DETAILS }),
};

const PROBES: Readonly<Record<string, Probe | "test/contract/reload.test.ts">> = {
  subjects: { values: [["a.>"], ["b.>"]], look: subscribing(["a.x"]) },
  redelivery_backoff: {
    values: ["0s", "1h"],
    config: AT_LEAST_ONCE,
    look: async (world) => {
      const client = await world.connectV1();
      client.ask({ type: "subscribe", id: "s", subjects: ["a"] });
      world.publish("a", "1");
      world.clock.advance(100);
      const { id } = client.socket.envelopes[0]!;
      client.send({ type: "nack", id });
      world.clock.advance(1000);
      return client.socket.envelopes.length;
    },
  },
  session_ttl: { values: ["1s", "1h"], config: AT_LEAST_ONCE, look: detaching },
  max_sessions: { values: [0, 2], config: AT_LEAST_ONCE, look: detaching },
  max_session_bytes: { values: [0, 100_000], config: AT_LEAST_ONCE, look: detaching },
  max_clients: { values: [1, 3], look: letIn(5) },
  max_clients_per_address: { values: [1, 3], look: letIn(5) },
  max_clients_per_sub: { values: [1, 3], deps: HOOK, look: letIn(5) },
  max_handshakes_per_second: { values: [2, 8], look: letIn(60) },
  max_publishes_per_second: {
    values: [1, 8],
    look: async (world) => (await publishing(world, 20)).filter((status) => status === 202).length,
  },
  max_request_timeout: {
    values: ["500ms", "10s"],
    config: { request_subjects: ["q"] },
    look: async (world) => {
      const client = await world.connectV1();
      const frame = { type: "request", id: "q", subject: "q", payload: 1, timeout_ms: 9000 };
      client.ask(frame);
      await world.settle(20_000);
      return world.requestTimeouts;
    },
  },
  max_frames_per_second: {
    values: [10, 200],
    look: async (world) => {
      const client = await world.connectV1();
      let count = 0;
      for (; client.socket.closedWith === undefined && count < 10_000; count++) {
        client.send({ type: "unsubscribe", sub: `${count}` });
      }
      return count;
    },
  },
  max_malformed_frames: {
    values: [1, 5],
    look: async (world) => {
      const client = await world.connectV1();
      let count = 0;
      for (; client.socket.closedWith === undefined; count++) client.events.message("{");
      return count;
    },
  },
  max_subscriptions: {
    values: [1, 2],
    look: async (world) => {
      const client = await world.connectV1();
      const asked = ["a", "b"].flatMap((id) =>
        client.ask({ type: "subscribe", id, subjects: [id] }),
      );
      return shown(client, asked);
    },
  },
  max_patterns: { values: [1, 2], look: subscribing(["a", "b"]) },
  max_pattern_bytes: { values: [4, 400], look: subscribing(["aaaaaaaa"]) },
  max_upstream_patterns: { values: [1, 100], look: subscribing(["a", "b"]) },
  max_total_pattern_bytes: { values: [1, 1_000_000], look: subscribing(["a", "b"]) },
  upstream_linger: { values: ["1s", "1h"], look: lingering },
  max_lingering: { values: [0, 10], look: lingering },
  max_lingering_bytes: { values: [0, 1000], look: lingering },
  write_timeout: {
    values: ["1s", "1h"],
    config: { mark_interval: "0s" },
    look: async (world) => {
      const client = await unread(world, 3);
      world.clock.advance(20_000);
      return client.socket.terminated;
    },
  },
  ping_interval: {
    values: ["1s", "50s"],
    config: { mark_interval: "0s" },
    look: async (world) => {
      const client = await world.connectV1();
      world.clock.advance(5000);
      return client.socket.pings > 0;
    },
  },
  high_water_bytes: {
    values: [2000, 1_000_000],
    config: { ...LAGS_SOON, max_lag: "1h" },
    look: async (world) => {
      await unread(world, 10);
      return world.gateway.stats().clients.lagging;
    },
  },
  low_water_bytes: {
    values: [1, 1500],
    config: LAGS_SOON,
    look: async (world) => {
      const client = await unread(world, 5, { policy: "drop-oldest" });
      client.socket.buffered = 1000;
      world.clock.advance(1000);
      return [world.gateway.stats().clients.lagging, client.socket.buffered];
    },
  },
  max_lag: {
    values: ["300ms", "1h"],
    config: { mark_interval: "10ms" },
    look: async (world) => {
      const client = await world.connectV1();
      client.ask({ type: "subscribe", id: "s", subjects: ["a"] });
      client.answersPings = false;
      for (let n = 0; n < 10; n++) {
        world.publish("a", "x");
        world.clock.advance(500);
      }
      return world.gateway.stats().clients.lagging;
    },
  },
  mark_bytes: {
    values: [1024, 1_000_000],
    config: { mark_interval: "1h", ping_interval: "59s" },
    look: async (world) => {
      const client = await world.connectV1();
      client.ask({ type: "subscribe", id: "s", subjects: ["a"] });
      for (let n = 0; n < 10; n++) {
        world.publish("a", "x".repeat(1000));
        world.clock.advance(200);
      }
      return client.marks > 2;
    },
  },
  max_queue_bytes: { values: [3000, 1_000_000], config: LAGS_SOON, look: queueing },
  max_queue_messages: { values: [3, 1000], config: LAGS_SOON, look: queueing },
  max_queue_age: {
    values: ["1s", "1h"],
    config: { ...LAGS_SOON, max_queue_age: undefined },
    look: queueing,
  },
  max_total_queue_bytes: { values: [5000, 1_000_000], config: LAGS_SOON, look: queueing },
  policy: { values: ["disconnect", "drop-newest"], look: subscribing(["a"]) },
  allowed_policies: {
    values: [["disconnect"], ["disconnect", "conflate"]],
    look: subscribing(["a"], { policy: "conflate" }),
  },
  start_from: {
    values: ["new", "all"],
    config: { anonymous: [{ subjects: { allow: ["a"] }, from: ["new"] }] },
    look: subscribing(["a"]),
  },
  drain_delay: {
    values: ["0s", "1h"],
    config: { drain_window: "0s" },
    look: async (world) => {
      await world.connect();
      const drained = world.gateway.drain();
      await world.settle(5000);
      const { connected } = world.gateway.stats().clients;
      await world.stop();
      await drained;
      return connected;
    },
  },
  drain_window: {
    values: ["0s", "1h"],
    look: async (world) => {
      for (let n = 0; n < 100; n++) await world.connect();
      const drained = world.gateway.drain();
      await world.settle(20_000);
      await drained;
      return world.logged("draining").map(({ seconds }) => seconds);
    },
  },
  stop_timeout: {
    values: ["1s", "1h"],
    config: { ...LAGS_SOON, read_timeout: "1h" },
    look: async (world) => {
      const client = await unread(world, 10);
      const stopped = world.gateway.stop().catch(() => {});
      await world.settle(5000);
      const closed = client.socket.closedWith !== undefined || client.socket.terminated;
      client.events.closed(1006);
      await world.stop();
      await stopped;
      return closed;
    },
  },
  max_connection_age: {
    values: ["1s", "1h"],
    look: async (world) => {
      const client = await world.connectV1();
      world.clock.advance(5000);
      return client.socket.closedWith;
    },
  },
  tokens_file: {
    values: [TOKENS, tokensFile("other.json", OTHER)],
    look: loggedIn(bearer.headers),
  },
  passwords_file: {
    get values() {
      return userFiles as [string, string];
    },
    look: async (world) => {
      const headers = { Authorization: `Basic ${btoa("ann:one")}` };
      return (await world.during(world.connect({ headers }))).status;
    },
  },
  issuers: {
    values: [issuerOf("i"), issuerOf("j")],
    look: (world) =>
      world.connect({ headers: { Authorization: `Bearer ${valid}` } }).then((c) => c.status),
  },
  clock_tolerance: {
    // A longer one needs a restart: revocations are kept as long as tokens live.
    values: ["1m", "0s"],
    config: { issuers: issuerOf("i") },
    look: (world) =>
      world.connect({ headers: { Authorization: `Bearer ${expired}` } }).then((c) => c.status),
  },
  authorizer_timeout: {
    values: ["100ms", "1h"],
    deps: { authorize: () => new Promise(() => {}) },
    look: async (world) => {
      const connecting = world.connect();
      await world.settle(1000);
      return await Promise.race([connecting.then(({ status }) => status), world.later("waits")]);
    },
  },
  token_cookie: {
    values: ["a", "b"],
    config: { tokens_file: TOKENS },
    look: loggedIn({ Cookie: `b=${TOKEN}`, "Sec-Fetch-Site": "same-origin" }),
  },
  allow_query_token: {
    values: [false, true],
    config: { tokens_file: TOKENS },
    look: loggedIn({}, `?access_token=${TOKEN}`),
  },
  anonymous: {
    values: [[{ subjects: { allow: ["a"] } }], [{ subjects: { allow: ["b"] } }]],
    look: subscribing(["a"]),
  },
  auth_timeout: {
    values: ["1s", "1h"],
    config: { tokens_file: TOKENS },
    look: async (world) => {
      const client = await world.connectV1();
      world.clock.advance(5000);
      return client.socket.closedWith;
    },
  },
  publish_subjects: {
    values: [["a"], ["b"]],
    look: async (world) => [await world.post("a"), await world.post("b")],
  },
  request_subjects: {
    values: [["a"], ["b"]],
    look: async (world) => {
      const client = await world.connectV1();
      const frames = client.ask({ type: "request", id: "q", subject: "a", payload: 1 });
      return [shown(client, frames), world.requestTimeouts.length];
    },
  },
  publisher_header: {
    values: [false, true],
    deps: HOOK,
    look: async (world) => {
      await world.post("a");
      return world.headers;
    },
  },
  allowed_origins: {
    values: [["https://a.example"], ["https://b.example"]],
    look: (world) => page(world, { Origin: "https://b.example", Host: "127.0.0.1" }),
  },
  allowed_hosts: {
    values: [["a.example"], ["b.example"]],
    look: (world) => page(world, { Host: "b.example" }),
  },
  trusted_proxies: {
    values: [["203.0.113.1"], ["192.0.2.1"]],
    config: { max_clients_per_address: 1 },
    look: fromTwoAddresses({ "X-Forwarded-For": "198.51.100." }),
  },
  forwarded_header: {
    values: ["x-forwarded-for", "forwarded"],
    config: { trusted_proxies: ["192.0.2.1"], max_clients_per_address: 1 },
    look: fromTwoAddresses({ Forwarded: "for=198.51.100." }),
  },
  tls_cert_file: "test/contract/reload.test.ts",
  tls_key_file: "test/contract/reload.test.ts",
  tls_min_version: "test/contract/reload.test.ts",
  admin_tokens_file: "test/contract/reload.test.ts",
  log_level: "test/contract/reload.test.ts",
  watch_config: "test/contract/reload.test.ts",
};

/** Connects two clients for which a proxy names different addresses; returns how many are let in. */
function fromTwoAddresses(header: Record<string, string>): Look {
  return async (world) => {
    const statuses: number[] = [];
    for (const last of ["1", "2"]) {
      const headers = Object.fromEntries(
        Object.entries(header).map(([name, value]) => [name, value + last]),
      );
      statuses.push((await world.connect({ headers })).status);
    }
    return statuses;
  };
}

beforeAll(async () => {
  const [one, two] = await Promise.all(["one", "two"].map(hashPassword));
  userFiles = [one, two].map((password_hash, index) =>
    file(`users-${index}.json`, [{ user: "ann", password_hash, authorization_details: DETAILS }]),
  );
  const wallMs = ReloadWorld.WALL_MS;
  const sign = (endsInSeconds: number) =>
    signToken({
      key: SECRET,
      type: "at+jwt",
      claims: {
        iss: "i",
        aud: "a",
        sub: "ann",
        iat: Math.floor(wallMs / 1000) - 600,
        exp: Math.floor(wallMs / 1000) + endsInSeconds,
        authorization_details: DETAILS,
      },
    });
  valid = await sign(600);
  expired = await sign(-30);
});

const reloadable = keyTable().flatMap(({ key, reloads }) => (reloads ? [key] : []));

test("Each key that can be reloaded has a probe", () => {
  expect(Object.keys(PROBES).sort()).toEqual([...reloadable].sort());
});

describe("A reload has the effect of", () => {
  for (const [key, probe] of Object.entries(PROBES)) {
    test(key, async () => {
      if (typeof probe === "string") {
        expect(readFileSync(probe, "utf8").includes(key)).toBe(true);
        return;
      }
      const { values, config = {}, deps, look } = probe;
      const [before, after] = values.map((value) => ({ ...config, [key]: value }) as ConfigInput);
      const seen = async (first: ConfigInput, then?: ConfigInput): Promise<unknown> => {
        const world = await ReloadWorld.start(first, deps);
        try {
          if (then !== undefined) await world.reload(then);
          return await look(world);
        } finally {
          await world.stop();
        }
      };
      const fresh = await seen(after!);
      expect(await seen(before!)).not.toEqual(fresh);
      expect(await seen(before!, after)).toEqual(fresh);
    });
  }
});
