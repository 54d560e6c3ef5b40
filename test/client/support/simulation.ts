import {
  type Connection,
  connect,
  type Gap,
  type Item,
  type SubscribeOptions,
  type Subscription,
} from "spillway/client";
import { FakePlatform, settled } from "./fake-platform.ts";
import { ModelGateway, type ModelMessage } from "./model-gateway.ts";
import { seeded } from "./random.ts";

const SUBJECTS = ["x.a", "x.b", "x.c"];
const PATTERNS = [["x.>"], ["x.a"], ["x.a", "x.b"], ["x.c"]];
const STARTS = ["new", "all", "last_per_subject"] as const;
/** More than the jitter's limit allows in any minute: 500 ms, 1 s, 2 s … and what the page asks for. */
const MOST_ATTEMPTS_PER_MINUTE = 40;

interface Numbered {
  readonly n: number;
}

/** A subscription, and what its loop was given. */
class Reader {
  readonly subscription: Subscription<Numbered>;
  readonly patterns: readonly string[];
  readonly start: (typeof STARTS)[number];
  /** The items of its loop, without the messages that the loop's body has refused. */
  readonly items: Item<Numbered>[] = [];
  /** All items of its loop. */
  readonly given: Item<Numbered>[] = [];
  /** The ids of messages that the loop's body is done with. */
  readonly processed = new Set<string>();
  /** The ids of messages that the loop's body has refused, and that have not come again. */
  readonly refused = new Set<string>();
  /** The ids of messages that it has refused, and that the gateway need not send again. */
  readonly lost = new Set<string>();
  /** Whether it was closed before the end. */
  hasLeft = false;
  /** The least number that it wants. */
  readonly seq: number;
  error: unknown;
  isDone = false;
  /** The message after which it began, by the gateway's word. */
  begunEpoch = 0;
  begunFirst = 0;
  #permits: (() => void)[] = [];
  isFree = false;

  constructor(
    connection: Connection,
    patterns: readonly string[],
    start: Reader["start"],
    from: SubscribeOptions<Numbered>["from"],
    buffer: number,
    refuses: () => boolean,
    comesAgain: (id: string) => boolean,
  ) {
    this.patterns = patterns;
    this.start = start;
    this.seq = typeof from === "object" && "seq" in from ? from.seq : 0;
    this.subscription = connection.subscribe<Numbered>(patterns, { ...(from && { from }), buffer });
    void this.#run(refuses, comesAgain);
  }

  leave(): void {
    this.hasLeft = true;
    this.subscription.close();
  }

  permit(): void {
    this.#permits.shift()?.();
  }

  free(): void {
    this.isFree = true;
    for (const permit of this.#permits.splice(0)) permit();
  }

  async #run(refuses: () => boolean, comesAgain: (id: string) => boolean): Promise<void> {
    try {
      for await (const item of this.subscription) {
        if (item.type === "data") this.refused.delete(item.id);
        this.items.push(item);
        this.given.push(item);
        if (!this.isFree) await new Promise<void>((resolve) => this.#permits.push(resolve));
        if (item.type !== "data") continue;
        if (this.isFree || !refuses()) {
          this.processed.add(item.id);
          continue;
        }
        this.items.splice(this.items.indexOf(item), 1);
        if (!this.hasLeft) (comesAgain(item.id) ? this.refused : this.lost).add(item.id);
        item.nack();
      }
    } catch (error) {
      this.error = error;
    }
    this.isDone = true;
  }
}

interface Place {
  readonly epoch: number;
  readonly n: number;
}

function place(id: string): Place {
  const [, epoch, n] = /^S:e(\d+):(\d+)$/.exec(id) ?? [];
  return { epoch: Number(epoch), n: Number(n) };
}

function isLater(one: Place, other: Place): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.n > other.n);
}

function covers({ from, to }: Gap, { epoch, n }: ModelMessage): boolean {
  const [first, last] = [place(from), place(to)];
  const isAfter = epoch > first.epoch || (epoch === first.epoch && n >= first.n);
  const isBefore = epoch < last.epoch || (epoch === last.epoch && n <= last.n);
  return isAfter && isBefore;
}

/** Throws unless both are the same. */
function same(actual: unknown, expected: unknown, what: string): void {
  if (Object.is(actual, expected)) return;
  throw new Error(`${what}: ${actual} instead of ${expected}`);
}

/**
 * Simulates a client and its gateway. It uses nothing of a runtime, so that it also runs in React Native's engine.
 *
 * @param trace takes what the two say.
 * @throws Error if a message is lost, comes twice or out of order, or if anything is left after the client is closed.
 */
export async function simulate(seed: number, trace?: (line: string) => void): Promise<void> {
  const random = seeded(seed);
  const pick = (most: number): number => Math.floor(random() * most);
  const isAtLeastOnce = random() < 0.4;
  const mayReset = random() < 0.2;
  const mayExpire = random() < 0.3;
  const hasTokens = random() < 0.4;
  const gateway = new ModelGateway(isAtLeastOnce ? "at-least-once" : "at-most-once", random);
  gateway.startFrom = STARTS[pick(3)]!;
  const fake = new FakePlatform(random);
  const attemptsMs: number[] = [];
  let isHealthy = false;
  let outageUntilMs = 0;
  let tokenCount = 0;
  let validFrom = 0;
  gateway.acceptsToken = (token) => !hasTokens || Number(token) >= validFrom;
  fake.opened = (socket) => {
    attemptsMs.push(fake.nowMs);
    const name = attemptsMs.length;
    socket.trace = (line) => trace?.(`${fake.nowMs} ${name} ${line}`);
    const fate = isHealthy ? 1 : random();
    if (fate < 0.1 || fake.nowMs < outageUntilMs) throw new Error("no network");
    if (fate < 0.3) fake.platform.timer(pick(3000), () => socket.end(1006));
    else if (fate < 0.35)
      return; // It never opens.
    else
      fake.platform.timer(
        pick(200),
        () => socket.closedWith === undefined && gateway.accept(socket),
      );
  };
  for (let n = pick(8); n > 0; n--) gateway.publish(SUBJECTS[pick(3)]!);
  const connection = connect("ws://model", {
    platform: fake.platform,
    ...(hasTokens && {
      token: async () => {
        if (!isHealthy && random() < 0.1) throw new Error("no token");
        return `${++tokenCount}`;
      },
    }),
  });
  const readers: Reader[] = [];
  const begun = new Map<Reader, ModelMessage[]>();
  const subscribe = (): void => {
    const buffer = random() < 0.3 ? 4 : 1000;
    const seq = random() < 0.1 ? 1 + pick(gateway.tip + 1) : undefined;
    const kind = random() < 0.3 ? undefined : STARTS[pick(3)]!;
    const from = seq === undefined ? kind : { seq };
    const start = seq === undefined ? (kind ?? gateway.startFrom) : "all";
    const refuses = (): boolean => isAtLeastOnce && random() < 0.1;
    const patterns = PATTERNS[pick(4)]!;
    const comesAgain = (id: string): boolean => !forgotten.has(id);
    const reader = new Reader(connection, patterns, start, from, buffer, refuses, comesAgain);
    readers.push(reader);
    void reader.subscription.ready.then(
      ({ from }) => {
        const { epoch, n } = place(from);
        reader.begunEpoch = epoch;
        reader.begunFirst = n + 1;
        const isOlder = (one: ModelMessage): boolean =>
          one.epoch < epoch || (one.epoch === epoch && one.n <= n);
        // With a snapshot, what is older is replaced by the latest of each subject, which is checked apart.
        begun.set(reader, gateway.messages.filter(isOlder));
      },
      () => {},
    );
  };
  const stale: (() => void)[] = [];
  gateway.acknowledging = ({ id, subject }) => {
    for (const reader of readers) {
      if (reader.hasLeft) continue;
      if (reader.refused.has(id)) throw new Error(`acknowledged ${id}, which was refused`);
      const had = reader.items.some((item) => item.type === "data" && item.id === id);
      if (had && !reader.processed.has(id) && !forgotten.has(id))
        throw new Error(`acknowledged ${id} unprocessed: ${subject}`);
    }
  };
  const published: Promise<unknown>[] = [];
  /** The ids of messages that a lost session may have had. */
  const forgotten = new Set<string>();
  gateway.lostSession = () => {
    for (const { id } of gateway.messages) forgotten.add(id);
    for (const { refused, lost } of readers) {
      for (const id of refused) lost.add(id);
      refused.clear();
    }
  };
  subscribe();
  const steps = 20 + pick(60);
  for (let step = 0; step < steps; step++) {
    const [one] = gateway.connections;
    switch (pick(22)) {
      case 0:
        if (readers.filter(({ hasLeft }) => !hasLeft).length < 4) subscribe();
        break;
      case 1:
        if (one !== undefined) {
          const { socket } = one;
          gateway.end(one, [1006, 1001, 4511, 4513, 4503][pick(5)]!);
          // A socket that is gone may still have something to say.
          stale.push(() => {
            const id = "S:e1:999999";
            socket.say({ type: "data", id, timestamp: 0, subject: "x.a", payload: { n: 0 } });
            socket.end(1006);
          });
        }
        break;
      case 2:
        if (one !== undefined) one.isStalled = true;
        break;
      case 3:
        if (one !== undefined) {
          gateway.end(one, 1001, {
            reason: "going away",
            reconnect: true,
            retry_after_ms: pick(4000),
          });
        }
        break;
      case 4:
        fake.live(fake.hidden ? "visible" : "hidden");
        break;
      case 5:
        fake.live((["online", "pageshow", "pagehide"] as const)[pick(3)]!);
        break;
      case 6:
        fake.sleep(pick(120_000));
        break;
      case 7:
        if (mayExpire) gateway.expire(gateway.tip - pick(5));
        break;
      case 8:
        if (mayReset) gateway.reset();
        break;
      case 9:
        gateway.expireSessions();
        break;
      case 10:
        if (hasTokens && one !== undefined) {
          if (random() < 0.5) validFrom = tokenCount + 1;
          gateway.expireToken(one);
        }
        break;
      case 11:
        stale.shift()?.();
        break;
      case 12:
        if (random() < 0.1) {
          outageUntilMs = fake.nowMs + 150_000;
          await fake.advance(150_000);
        }
        break;
      case 13:
        if (random() < 0.3) readers[pick(readers.length)]!.leave();
        break;
      case 14:
        fake.setClock(-pick(10_000_000));
        break;
      case 15:
        published.push(connection.publish(SUBJECTS[pick(3)]!, null));
        break;
      default:
        gateway.publish(SUBJECTS[pick(3)]!);
    }
    for (const reader of readers) for (let n = pick(4); n > 0; n--) reader.permit();
    gateway.work();
    await fake.advance(pick(3) === 0 ? pick(20_000) : pick(500));
  }
  // Everything is well from now on: all that is still stored arrives.
  isHealthy = true;
  for (const connection of gateway.connections) connection.isStalled = false;
  fake.live("visible");
  for (const reader of readers) reader.free();
  if (connection.state.type === "idle") fake.live("pageshow");
  for (let round = 0; round < 60; round++) {
    for (let n = 0; n < 6; n++) gateway.work();
    await fake.advance(round < 20 ? 5000 : 500);
  }
  gateway.publish("x.a");
  gateway.publish("x.b");
  gateway.publish("x.c");
  for (let round = 0; round < 30; round++) {
    for (let n = 0; n < 6; n++) gateway.work();
    await fake.advance(1000);
  }
  same(connection.state.type, "open", "the state");
  await Promise.all(published);
  for (const reader of readers) check(reader, gateway, begun.get(reader) ?? [], isAtLeastOnce);
  same(gateway.unacknowledged.join(), "", "unacknowledged");
  for (const [index, atMs] of attemptsMs.entries()) {
    const next = attemptsMs[index + MOST_ATTEMPTS_PER_MINUTE] ?? Number.POSITIVE_INFINITY;
    if (next - atMs <= 60_000) throw new Error(`too many attempts in the minute after ${atMs}`);
  }
  await connection.close();
  await settled();
  for (const reader of readers) if (!reader.isDone) throw new Error("a loop goes on after close");
  same(fake.timers.size, 0, "timers that are left");
  same(fake.listeners.size, 0, "listeners that are left");
  same(fake.sockets.filter(({ readyState }) => readyState < 2).length, 0, "sockets that are left");
}

function check(
  reader: Reader,
  gateway: ModelGateway,
  older: readonly ModelMessage[],
  isAtLeastOnce: boolean,
): void {
  if (reader.error !== undefined) throw reader.error;
  const data = reader.items.filter((item) => item.type === "data");
  const gaps = reader.items.filter((item) => item.type === "gap");
  const ids = data.map(({ id }) => id);
  const first = isAtLeastOnce ? data.filter(({ redelivery }) => redelivery === 0) : data;
  const places = first.map(({ id }) => place(id));
  const last = new Map<number, number>();
  for (const { epoch, n } of places) {
    if (n <= (last.get(epoch) ?? 0)) throw new Error(`out of order: ${ids.join(" ")}`);
    last.set(epoch, n);
  }
  if (new Set(ids).size !== ids.length) throw new Error(`twice: ${ids.join(" ")}`);
  const { start, begunEpoch, begunFirst, seq } = reader;
  const least = start === "new" ? begunFirst : Math.min(seq, begunFirst);
  if (places.some(({ epoch, n }) => epoch === begunEpoch && n < least))
    throw new Error(`from before its start: ${ids.join(" ")}`);
  if (reader.hasLeft) return;
  const isOlder = new Set(older);
  for (const message of gateway.messages) {
    const { id, subject } = message;
    if (!reader.patterns.some((one) => one === subject || one === "x.>")) continue;
    if (reader.lost.has(id)) continue;
    if (ids.includes(id) || gaps.some((gap) => covers(gap, message))) continue;
    if (
      reader.start === "all" &&
      (message.epoch < reader.begunEpoch || message.n < reader.begunFirst)
    )
      continue;
    if (reader.start === "new" && isOlder.has(message)) continue;
    if (reader.start === "last_per_subject" && message.epoch < reader.begunEpoch) continue;
    if (reader.start === "last_per_subject" && isReplaced(message, reader.given)) continue;
    if (reader.start === "last_per_subject" && message.isExpired) continue;
    const seen = reader.items.map((item) =>
      item.type === "data"
        ? item.id
        : item.type === "gap"
          ? `gap(${item.reason} ${item.from} ${item.to})`
          : item.type,
    );
    throw new Error(
      `lost ${id} ${subject} of ${reader.patterns} from ${reader.start}: ${seen.join(" ")}`,
    );
  }
}

/** Whether a snapshot leaves a message out: it has a later one of the subject, or the stream is another one. */
function isReplaced(
  { epoch, n, subject, isExpired }: ModelMessage,
  items: readonly Item<Numbered>[],
): boolean {
  // The snapshot is taken again if the cursor can't resume.
  const again = items.findLastIndex((item) => item.type === "gap" && item.reason === "expired");
  const end = items.findIndex(({ type }, index) => type === "caught_up" && index > again);
  const until = items.slice(0, end < 0 ? undefined : end);
  const isData = (item: Item<Numbered>) => item.type === "data";
  const latest = until.findLast(isData) ?? items.find(isData);
  if (latest === undefined || place(latest.id).epoch > epoch) return true;
  return until.some(
    (item) =>
      // The later one may be among the missing.
      item.type === "gap" ||
      (item.type === "data" &&
        (item.subject === subject || isExpired) &&
        isLater(place(item.id), { epoch, n })),
  );
}
