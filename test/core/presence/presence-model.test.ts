import { expect, test } from "bun:test";
import fc from "fast-check";
import { subjectsIntersect } from "../../../src/core/subject/subject.ts";
import type { TestClient } from "../support/harness.ts";
import { type Gateway, Gateways, presenceOf, subscribe, watch } from "./gateways.ts";

const NAMES = ["ann", "bob", "eve"];
const PATTERNS = ["a.1", "a.2", "a.*", "b", ">"];
const WATCHED = ["a.1", "a.*", "b"];
const TTL_MS = 30_000;
const GRACE_MS = 10_000;
/** A gateway whose process is gone, or that is back, is known to be so after this time. */
const QUIET_MS = 2 * TTL_MS + GRACE_MS + 5000;

interface Client {
  readonly gateway: Gateway;
  readonly name: string;
  readonly client: TestClient;
  readonly patterns: Set<string>;
}

/** A viewer, and who is on the subjects that it watches, as it was told. */
interface Viewer {
  readonly gateway: Gateway;
  readonly client: TestClient;
  readonly lists: Map<string, Set<string>>;
  readonly counts: Map<string, number>;
  heard: number;
}

/** Gateways with clients that come and go, and viewers that know what they are told. */
class PresenceModel {
  readonly gateways = new Gateways({
    ...{ maxSubscriptions: 100, maxFramesPerSecond: 10_000, stepsPerTurn: 2 },
  });
  readonly running: Gateway[] = [];
  clients: Client[] = [];
  viewers: Viewer[] = [];
  /** The time since which a name has been on a watched subject without pause: then nobody may be told that it left. */
  readonly #seenMs = new Map<string, number>();

  /** Whether clients may leave subjects without a time of grace. */
  #unsubscribes = false;

  constructor() {
    for (let n = 0; n < 3; n++) this.#open();
    this.pass(5000);
  }

  get #nowMs(): number {
    return this.gateways.clock.nowMs();
  }

  join(index: number, name: string, patterns: readonly string[]): void {
    const gateway = this.#of(this.running, index);
    const client = gateway.join({ sub: name });
    this.clients.push({ gateway, name, client, patterns: new Set(patterns) });
    for (const pattern of patterns) subscribe(client, pattern);
    // Nobody learns of a client that is there for less.
    this.pass(100);
  }

  leave(index: number): void {
    if (this.clients.length === 0) return;
    const client = this.#of(this.clients, index);
    this.clients = this.clients.filter((other) => other !== client);
    client.client.connection.closed(1000);
  }

  /** A client leaves, and comes back in its time of grace, perhaps to another gateway. */
  reconnect(index: number, to: number, afterMs: number): void {
    if (this.clients.length === 0) return;
    const { name, patterns, client } = this.#of(this.clients, index);
    this.clients = this.clients.filter((other) => other.client !== client);
    client.connection.closed(1006);
    this.pass(afterMs);
    this.join(to, name, [...patterns]);
  }

  unsubscribe(index: number): void {
    this.#unsubscribes = true;
    const client = this.clients[index % Math.max(1, this.clients.length)];
    const [pattern] = client?.patterns ?? [];
    if (client === undefined || pattern === undefined) return;
    client.patterns.delete(pattern);
    client.client.send({ type: "unsubscribe", sub: pattern });
  }

  /** A gateway's process is gone; another one takes its place. */
  kill(index: number): void {
    const gateway = this.#of(this.running, index);
    gateway.kill();
    this.running.splice(this.running.indexOf(gateway), 1);
    this.clients = this.clients.filter((client) => client.gateway !== gateway);
    this.viewers = this.viewers.filter((viewer) => viewer.gateway !== gateway);
    this.#open();
  }

  /** A gateway loses NATS for some time; before that, it has told the others of all its clients. */
  cut(index: number, forMs: number): void {
    this.pass(1500);
    const gateway = this.#of(this.running, index);
    gateway.disconnect();
    this.pass(forMs);
    gateway.connect();
  }

  /** NATS is away for some time, and has perhaps lost everything. Meanwhile a client leaves. */
  restart(index: number, forMs: number, loses: boolean): void {
    for (const gateway of this.running) gateway.disconnect();
    this.pass(forMs);
    this.leave(index);
    if (loses) this.gateways.bucket.clear();
    for (const gateway of this.running) gateway.connect();
  }

  view(index: number): void {
    const gateway = this.#of(this.running, index);
    const client = gateway.join({ sub: "viewer" });
    this.viewers.push({ gateway, client, lists: new Map(), counts: new Map(), heard: 0 });
    for (const subject of WATCHED) watch(client, subject, "list", subject);
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 500) {
      this.gateways.pass(Math.min(left, 500));
      for (const name of NAMES) {
        for (const subject of WATCHED) {
          if (this.#isOn(name, subject)) this.#seenMs.set(`${name} ${subject}`, this.#nowMs);
        }
      }
      for (const viewer of this.viewers) this.#listen(viewer);
    }
  }

  /** Everybody knows the truth once all is quiet. */
  expectTruth(): void {
    this.pass(QUIET_MS);
    for (const { lists, counts } of this.viewers) {
      for (const subject of WATCHED) {
        const there = NAMES.filter((name) => this.#isOn(name, subject));
        expect([subject, [...(lists.get(subject) ?? [])].sort()]).toEqual([subject, there]);
        expect([subject, counts.get(subject)]).toEqual([subject, there.length]);
      }
    }
    const mine = this.running.map(({ harness }) => harness.clients.presence!.figures);
    expect(mine.map(({ connections }) => connections)).toEqual(
      mine.map(() => this.clients.filter(({ patterns }) => patterns.size > 0).length),
    );
  }

  #open(): void {
    this.running.push(this.gateways.open());
  }

  #of<T>(list: readonly T[], index: number): T {
    return list[index % list.length] as T;
  }

  #isOn(name: string, subject: string): boolean {
    return this.clients.some(
      (client) =>
        client.name === name &&
        [...client.patterns].some((pattern) => subjectsIntersect(pattern, subject)),
    );
  }

  #listen(viewer: Viewer): void {
    const frames = presenceOf(viewer.client);
    for (const frame of frames.slice(viewer.heard)) {
      const subject = frame.subject as string;
      const named = (field: unknown) => ((field ?? []) as { sub: string }[]).map(({ sub }) => sub);
      const list = viewer.lists.get(subject) ?? new Set();
      if (frame.members !== undefined) list.clear();
      for (const sub of [...named(frame.members), ...named(frame.joined)]) list.add(sub);
      for (const sub of named(frame.left)) {
        list.delete(sub);
        const goneMs = this.#nowMs - (this.#seenMs.get(`${sub} ${subject}`) ?? 0);
        // Unless it has unsubscribed, it had its time of grace.
        if (!this.#unsubscribes) expect(goneMs).toBeGreaterThan(GRACE_MS - 2000);
      }
      viewer.lists.set(subject, list);
      viewer.counts.set(subject, frame.count as number);
    }
    viewer.heard = frames.length;
  }
}

const index = fc.nat(6);
const patterns = fc.uniqueArray(fc.constantFrom(...PATTERNS), { minLength: 1, maxLength: 3 });
const ms = (max: number) => fc.integer({ min: 0, max });

/** A method of the model, and its arguments. */
const step = fc.oneof(
  fc.tuple(fc.constant("join"), index, fc.constantFrom(...NAMES), patterns),
  fc.tuple(fc.constant("leave"), index),
  fc.tuple(fc.constant("reconnect"), index, index, ms(8000)),
  fc.tuple(fc.constant("view"), index),
  fc.tuple(fc.constant("kill"), index),
  fc.tuple(fc.constant("cut"), index, ms(20_000)),
  fc.tuple(fc.constant("restart"), index, ms(60_000), fc.boolean()),
  fc.tuple(fc.constant("pass"), ms(40_000)),
  fc.tuple(fc.constant("unsubscribe"), index),
);

test("Whatever happens, all viewers know who is there when all is quiet, and nobody left without a time of grace", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
      const model = new PresenceModel();
      model.view(0);
      for (const [method, ...args] of steps) {
        (model[method as "pass"] as (...args: unknown[]) => void)(...args);
      }
      model.expectTruth();
    }),
    { numRuns: Number(process.env.SPILLWAY_MODEL_RUNS ?? 150) },
  );
}, 600_000);
