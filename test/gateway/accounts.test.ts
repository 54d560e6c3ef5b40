import { describe, expect, test } from "bun:test";
import { Grant, type GrantTerms } from "../../src/core/access/grant.ts";
import { Broadcaster } from "../../src/core/broadcaster.ts";
import type {
  ClientMessage,
  PublishFailure,
  SourceListener,
  SourceStatus,
} from "../../src/core/ports/source.ts";
import type { Sender } from "../../src/core/publishing/quotas.ts";
import type { Connection } from "../../src/core/sessions/connection.ts";
import { V1 } from "../../src/core/wire/dialect.ts";
import { Account } from "../../src/gateway/account.ts";
import { Accounts, mostConnections } from "../../src/gateway/accounts.ts";
import { END_HEADER } from "../../src/protocol/server-frames.ts";
import { settled } from "../core/support/auth-harness.ts";
import { FakeFanout, FakeSocket } from "../core/support/fake-sockets.ts";
import { Harness, type HarnessOptions, OPTIONS } from "../core/support/harness.ts";

const LINGER_MS = 60_000;
const TOKEN = { id: undefined, issuedAtMs: 0, expiresAtMs: Number.POSITIVE_INFINITY };

const NO_ANSWER: PublishFailure = {
  ...{ kind: "failed", code: "no_responders", message: "nobody answers", retryable: false },
};

/** A source that is connected when the test says so. */
class FakeAccountSource {
  readonly name = "NATS";
  readonly published: string[] = [];
  status: SourceStatus = { state: "idle" };
  listener: SourceListener | undefined;
  isStopped = false;
  /** Ends the stops that wait. */
  readonly stopped = Promise.withResolvers<void>();

  start(listener: SourceListener): void {
    this.listener = listener;
  }

  connect(): void {
    this.status = { state: "connected", to: "test" };
    this.listener?.status(this.status);
  }

  subscribe(pattern: string): void {
    this.listener?.arrives(pattern);
  }

  unsubscribe(): void {}

  publish({ subject }: { readonly subject: string }): void {
    this.published.push(subject);
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.stopped.promise;
  }
}

/** Accounts whose sources are fakes; the default one is the harness's. */
function open(
  maxOpenAccounts = 2,
  options: Partial<HarnessOptions> = {},
  isRevoked?: (grant: Grant) => boolean,
  accountLingerMs = LINGER_MS,
) {
  const harness = new Harness(options, undefined, undefined, isRevoked);
  const { clock, clients, log, meter } = harness;
  const fanout = new FakeFanout();
  const sources = new Map<string, FakeAccountSource>();
  const main = new FakeAccountSource();
  const made: string[] = [];
  const posted: ClientMessage[] = [];
  const accounts: Accounts = new Accounts(
    { maxOpenAccounts, accountLingerMs, authTimeoutMs: 5000 },
    {
      ...{ clock, log, clients },
      default: new Account({ source: main, broadcaster: harness.broadcaster, meter }),
      make: (name, emptied) => {
        const source = new FakeAccountSource();
        sources.set(name, source);
        made.push(name);
        const broadcaster = new Broadcaster(
          { ...OPTIONS, ...options, account: name },
          {
            ...{ clients, clock, log, meter, source, emptied, isRevoked },
            encoder: harness.encoder,
            publisher: {
              publish: async (message) => {
                posted.push(message);
                return { kind: "published" };
              },
              request: async () => NO_ANSWER,
            },
            fanouts: { websocket: fanout, events: fanout },
            version: "0",
          },
        );
        return new Account({ name, source, broadcaster, meter });
      },
    },
  );
  harness.openFor = (grant) => accounts.openFor(grant);
  accounts.start();
  const sockets: FakeSocket[] = [];
  const join = (account: string, terms: Partial<GrantTerms> = {}): Connection => {
    const client = { grant: grantFor(account, terms), dialect: V1 };
    const socket = new FakeSocket(fanout);
    sockets.push(socket);
    const connection = clients.accept(socket, client);
    socket.onPing = () => connection.heard();
    return connection;
  };
  return { harness, clock, accounts, main, sources, sockets, made, posted, join };
}

function grantFor(account: string | undefined, more: Partial<GrantTerms> = {}): Grant {
  const { terms } = Grant.forEverybody([">"], OPTIONS);
  return new Grant([">"], { ...terms, ...more, account });
}

const sender = (account: string, more?: Partial<GrantTerms>): Sender => ({
  ...{
    grant: grantFor(account, { publishes: { allow: "everything", deny: [] }, ...more }),
    address: "192.0.2.1",
    addressGroup: "192.0.2.1",
  },
});

const isOpen = (accounts: Accounts) => Object.keys(accounts.states).sort();

describe("An account", () => {
  test("is opened by its first client, and shared by the next one", () => {
    const { accounts, made, join } = open();
    expect(isOpen(accounts)).toEqual([]);
    join("acme");
    join("acme");
    expect(made).toEqual(["acme"]);
    expect(accounts.states).toEqual({ acme: { status: { state: "idle" }, sessions: 2 } });
    expect(accounts.openFor(grantFor("acme"))).not.toBe(accounts.defaultBroadcaster);
    expect(accounts.openFor(grantFor(undefined))).toBe(accounts.defaultBroadcaster);
  });

  test("stays open for account_linger after its last client, and no shorter for one in between", () => {
    const { clock, accounts, sources, join } = open();
    join("acme").closed(1000);
    clock.advance(LINGER_MS - 1);
    expect(isOpen(accounts)).toEqual(["acme"]);
    const next = join("acme");
    clock.advance(2 * LINGER_MS);
    next.closed(1000);
    clock.advance(LINGER_MS - 1);
    expect(isOpen(accounts)).toEqual(["acme"]);
    expect(sources.get("acme")!.isStopped).toBe(false);
    clock.advance(1);
    expect(isOpen(accounts)).toEqual([]);
    expect(sources.get("acme")!.isStopped).toBe(true);
  });

  test("that was opened for a client that never came is closed, too", async () => {
    const { clock, accounts, sources } = open();
    const ready = accounts.ready(grantFor("acme"));
    sources.get("acme")!.connect();
    await ready;
    clock.advance(LINGER_MS);
    expect(isOpen(accounts)).toEqual([]);
  });

  test("stays open while clients wait for its connection, however short account_linger is", async () => {
    const { clock, accounts, sources, made } = open(1, {}, undefined, 1000);
    const ready = accounts.ready(grantFor("acme"));
    const posting = accounts.post(sender("acme"), "a", 1);
    clock.advance(1500);
    // Nor does it give way.
    expect(accounts.openFor(grantFor("globex"))).toBeUndefined();
    sources.get("acme")!.connect();
    await ready;
    expect(isOpen(accounts)).toEqual(["acme"]);
    const posted = await posting;
    clock.advance(2000);
    expect(isOpen(accounts)).toEqual(["acme"]);
    if ("release" in posted) posted.release();
    clock.advance(1000);
    expect(isOpen(accounts)).toEqual([]);
    expect(made).toEqual(["acme"]);
  });

  test("gets the end of a subject that a message without a connection ends", async () => {
    const { accounts, sources, posted } = open();
    for (const end of [true, false]) {
      const posting = accounts.post(sender("acme"), "runs.7", 1);
      sources.get("acme")!.connect();
      const post = await posting;
      if ("code" in post) throw new Error(post.message);
      expect(await post.publish(new Uint8Array(1), end)).toMatchObject({ kind: "published" });
      post.release();
    }
    expect(posted.map(({ headers }) => headers.has(END_HEADER))).toEqual([true, false]);
  });

  test("isn't opened for a user with as many connections as it may have, nor for a message that it may not publish", async () => {
    const { accounts, made, join } = open(3, { maxClientsPerSub: 1 });
    const principal = { issuer: "i", sub: "ann" };
    join("acme", { principal });
    await accounts.ready(grantFor("globex", { principal }));
    const publishes = { allow: ["a"], deny: [] };
    const from = sender("globex", { publishes });
    expect(await accounts.post(from, "b", 1)).toHaveProperty("code");
    expect(made).toEqual(["acme"]);
  });

  test("is opened anew while the one before is still being closed", () => {
    const { clock, accounts, made, join } = open();
    join("acme").closed(1000);
    clock.advance(LINGER_MS);
    join("acme");
    expect(made).toEqual(["acme", "acme"]);
    expect(isOpen(accounts)).toEqual(["acme"]);
  });

  test("lets its first clients wait for its connection, and not for ever", async () => {
    const { clock, accounts, sources } = open();
    const states: string[] = [];
    void accounts.ready(grantFor("acme")).then(() => states.push("acme"));
    void accounts.ready(grantFor("globex")).then(() => states.push("globex"));
    await settled();
    expect(states).toEqual([]);
    sources.get("acme")!.connect();
    await settled();
    expect(states).toEqual(["acme"]);
    clock.advance(2000);
    await settled();
    expect(states).toEqual(["acme", "globex"]);
    await accounts.ready(grantFor("globex"));
  });

  test("is not there for a client if others use as many as may be, and the log says so once", () => {
    const { harness, accounts, join } = open();
    const acme = join("acme");
    join("globex");
    expect(accounts.openFor(grantFor("initech"))).toBeUndefined();
    expect(accounts.openFor(grantFor("umbrella"))).toBeUndefined();
    const refused = join("initech");
    expect(refused.isOver).toBe(true);
    expect(harness.meter.disconnections.get("overloaded")).toBe(1);
    const lines = harness.warnings.filter(({ event }) => event === "accounts_full");
    expect(lines).toMatchObject([{ accounts: 2 }]);
    acme.closed(1000);
    expect(join("initech").isOver).toBe(false);
    expect(isOpen(accounts)).toEqual(["globex", "initech"]);
  });

  test("without clients gives way, the one first that has none for the longest time", () => {
    const { clock, accounts, join } = open(3);
    for (const name of ["a", "b", "c"]) {
      join(name).closed(1000);
      clock.advance(10);
    }
    join("a").closed(1000);
    join("d");
    expect(isOpen(accounts)).toEqual(["a", "c", "d"]);
  });

  test("isn't opened while as many as may be open are being closed, and both are in the reserve", async () => {
    const { clock, accounts, sources, join } = open(2);
    for (const name of ["a", "b"]) join(name).closed(1000);
    clock.advance(LINGER_MS);
    expect(isOpen(accounts)).toEqual([]);
    expect(accounts.openFor(grantFor("c"))).toBeUndefined();
    sources.get("a")!.stopped.resolve();
    await settled();
    expect(accounts.openFor(grantFor("c"))).toBeDefined();
    expect(mostConnections(1000, { maxOpenAccounts: 100 })).toBe(200);
    expect(mostConnections(2, { maxOpenAccounts: 100 })).toBe(8);
    expect(mostConnections(0, { maxOpenAccounts: 100 })).toBe(0);
  });

  test("doesn't give way if as many are being closed already", async () => {
    const { accounts, sources, join } = open(1);
    join("a").closed(1000);
    join("b").closed(1000);
    expect(accounts.openFor(grantFor("c"))).toBeUndefined();
    sources.get("a")!.stopped.resolve();
    await settled();
    expect(accounts.openFor(grantFor("c"))).toBeDefined();
  });

  test("is closed by a stop, also where nobody has left, and none is opened after it", async () => {
    const { harness, clock, accounts, main, sources, join } = open();
    const acme = join("acme");
    await accounts.drain(100);
    const drained = harness.clients.drain(100);
    clock.advance(10);
    expect(acme.isOver).toBe(true);
    acme.closed(1000);
    await drained;
    let isStopped = false;
    const stop = accounts.stop(100).then(() => {
      isStopped = true;
    });
    expect(isOpen(accounts)).toEqual([]);
    expect(accounts.openFor(grantFor("globex"))).toBeUndefined();
    await settled();
    expect(isStopped).toBe(false);
    sources.get("acme")!.stopped.resolve();
    main.stopped.resolve();
    await stop;
    expect(clock.timers).toBe(0);
  });
});

describe("Clients of several accounts", () => {
  test("count together for max_clients, and for max_clients_per_sub as the same user", () => {
    const { harness, join } = open(2, { maxClients: 4, maxClientsPerSub: 2 });
    const ann = { issuer: "i", sub: "ann" };
    expect(join("acme", { principal: ann }).isOver).toBe(false);
    expect(join("globex", { principal: ann }).isOver).toBe(false);
    expect(join("acme", { principal: ann }).isOver).toBe(true);
    expect(harness.meter.clientsLimited.sub).toBe(1);
    const third = join("globex", { principal: { issuer: "i", sub: "bob" } });
    expect(third.isOver).toBe(false);
    expect(harness.clients.refusal).toBe("full");
  });

  test("get only what came from their own source, though all share the runtime's topics", () => {
    const { clock, sources, sockets, join } = open();
    for (const name of ["acme", "globex"]) {
      join(name).receive(JSON.stringify({ type: "subscribe", id: "1", subjects: ["a"] }));
    }
    for (const [name, source] of sources) {
      source.listener?.message({ subject: "a", data: new TextEncoder().encode(`"${name}"`) });
    }
    clock.advance(10);
    const payloads = sockets.map(({ frames }) =>
      frames.flatMap(({ type, payload }) => (type === "data" ? [payload] : [])),
    );
    expect(payloads).toEqual([["acme"], ["globex"]]);
  });

  test("lose their connections and sessions when their token is revoked", () => {
    const revoked = new Set<string>();
    const { harness, clock, accounts, join } = open(
      2,
      { deliveryMode: "at-least-once" },
      ({ terms }) => revoked.has(terms.principal.sub),
    );
    const deliveryMode = "at-least-once";
    const ann = { principal: { issuer: "i", sub: "ann" }, token: TOKEN, deliveryMode } as const;
    const attached = join("acme", ann);
    join("globex", ann).closed(1006);
    const bob = join("globex", { ...ann, principal: { issuer: "i", sub: "bob" } });
    expect(accounts.states).toMatchObject({ acme: { sessions: 1 }, globex: { sessions: 2 } });
    revoked.add("ann");
    harness.clients.endRevoked();
    clock.advance(10);
    expect([attached.isOver, bob.isOver]).toEqual([true, false]);
    expect(accounts.states).toMatchObject({ acme: { sessions: 0 }, globex: { sessions: 1 } });
  });

  test("share the bound of all queues: the longest one goes, of whichever account", () => {
    const { harness, clock, sources, sockets, join } = open(2, {
      maxTotalQueueBytes: 10_000,
      maxQueueBytes: 100_000,
      maxQueueMessages: 1000,
    });
    const publish = (name: string, count: number): void => {
      for (let n = 0; n < count; n++) {
        const data = new TextEncoder().encode(JSON.stringify("x".repeat(1000)));
        sources.get(name)!.listener?.message({ subject: "a", data });
        clock.advance(1);
      }
    };
    const clients = ["acme", "globex"].map((name) => {
      const client = join(name);
      client.receive(JSON.stringify({ type: "subscribe", id: "1", subjects: ["a"] }));
      return client;
    });
    for (const socket of sockets) socket.reads = false;
    publish("acme", 8);
    publish("globex", 4);
    expect(clients.map(({ isOver }) => isOver)).toEqual([true, false]);
    expect(harness.meter.ledger.queuedBytes).toBeLessThanOrEqual(10_000);
  });

  test("are told apart in what the gateway says of faults", () => {
    const { harness, sources, join } = open();
    join("acme");
    sources.get("acme")!.listener?.fault("stream_refused", "no permission");
    expect(harness.meter.lastError).toBe("account acme: no permission");
    expect(harness.warnings).toMatchObject([{ detail: "account acme: no permission" }]);
  });
});
