import type { Grant } from "../../../src/core/access/grant.ts";
import type { PresenceBucket } from "../../../src/core/ports/presence.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { grantOf, type WantedGrant } from "../support/auth-harness.ts";
import type { ReceivedFrame } from "../support/fake-sockets.ts";
import { Harness, type HarnessOptions, type TestClient } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";

interface Change {
  readonly key: string;
  readonly data: Uint8Array | undefined;
  readonly madeMs: number;
}

const utf8 = new TextEncoder();

/** A key-value bucket that keeps the last change of each key, and a gateway's way to it. */
export class FakeBucket {
  /** By how much its clock differs from that of the gateways. */
  skewMs = 0;
  readonly #clock: ManualClock;
  readonly #changes: (Change | undefined)[] = [];
  readonly #last = new Map<string, number>();

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  get keys(): string[] {
    return [...this.#last].flatMap(([key, at]) => (this.#changes[at]?.data ? [key] : []));
  }

  get length(): number {
    return this.#changes.length;
  }

  at(index: number): Change | undefined {
    return this.#changes[index];
  }

  write(key: string, value: string | undefined): void {
    const before = this.#last.get(key);
    if (before !== undefined) this.#changes[before] = undefined;
    this.#last.set(key, this.#changes.length);
    const madeMs = this.#clock.wallMs() + this.skewMs;
    this.#changes.push({ key, data: value === undefined ? undefined : utf8.encode(value), madeMs });
  }

  /** Loses everything that was written until now. */
  clear(): void {
    this.#changes.fill(undefined);
    this.#last.clear();
  }
}

type GatewayOptions = Partial<HarnessOptions> & { readonly stepsPerTurn?: number };

/** A gateway with presence: all of a test share a clock and a bucket. */
export class Gateway implements PresenceBucket {
  readonly harness: Harness;
  /** The fate of the gateway's writes. */
  writes: "stored" | "lost" = "stored";
  readonly #bucket: FakeBucket;
  #isConnected = false;
  /** The last revision of the bucket that it has read. */
  #read = 0;
  #isReading = false;

  constructor(bucket: FakeBucket, clock: ManualClock, options: GatewayOptions = {}) {
    this.#bucket = bucket;
    this.harness = new Harness({ ...options, clock, presenceBucket: this });
    this.connect();
  }

  connect(): void {
    this.#isConnected = true;
    this.harness.clients.presence?.connected(true);
    this.#readOn();
  }

  disconnect(): void {
    this.#isConnected = false;
    this.harness.clients.presence?.connected(false);
  }

  /** The process is gone, and nothing of it is heard any more. */
  kill(): void {
    this.#isConnected = false;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  put(key: string, value: string): void {
    this.#write(key, value);
  }

  delete(key: string): void {
    this.#write(key, undefined);
  }

  /** Connects a client: somebody with a name, or anonymous without. */
  join(wanted?: WantedGrant | Grant): TestClient {
    const grant =
      wanted === undefined
        ? this.harness.grant
        : "terms" in wanted
          ? wanted
          : grantOf({ presence: { allow: [">"], deny: [] }, ...wanted });
    const client = this.harness.joinWith(undefined, V1, false, undefined, grant);
    client.socket.onPing = () => client.connection.heard();
    return client;
  }

  #write(key: string, value: string | undefined): void {
    if (!this.#isConnected || this.writes === "lost") return;
    this.#bucket.write(key, value);
    for (const gateway of all.get(this.#bucket) ?? []) gateway.#readOn();
  }

  /** Writes arrive a little later. */
  #readOn(): void {
    const others = all.get(this.#bucket) ?? new Set();
    all.set(this.#bucket, others.add(this));
    if (this.#isReading || !this.#isConnected) return;
    this.#isReading = true;
    this.harness.clock.after(1, () => {
      this.#isReading = false;
      for (; this.#isConnected && this.#read < this.#bucket.length; this.#read++) {
        const change = this.#bucket.at(this.#read);
        if (change === undefined) continue;
        const { key, data, madeMs } = change;
        this.harness.clients.presence?.changed(key, data, madeMs);
      }
    });
  }
}

/** The gateways that read a bucket. */
const all = new WeakMap<FakeBucket, Set<Gateway>>();

/** Several gateways with one bucket and one clock. */
export class Gateways {
  readonly clock = new ManualClock();
  readonly bucket = new FakeBucket(this.clock);
  readonly options: GatewayOptions;

  constructor(options: GatewayOptions = {}) {
    this.options = options;
  }

  open(options: GatewayOptions = {}): Gateway {
    return new Gateway(this.bucket, this.clock, { ...this.options, ...options });
  }

  /** Lets everything happen that is due within the time. */
  pass(ms = 3000): void {
    this.clock.advance(ms);
  }
}

export function subscribe(client: TestClient, ...subjects: string[]): void {
  client.send({ type: "subscribe", id: subjects.join(), subjects });
}

export function watch(client: TestClient, subject: string, want = "list", id = "w"): void {
  client.send({ type: "presence", id, subject, want });
}

/** The presence frames that a client received. */
export function presenceOf({ socket }: TestClient): ReceivedFrame[] {
  return socket.frames.filter(({ type }) => type.startsWith("presence"));
}

/** The last presence frame that a client received. */
export function lastPresence(client: TestClient): ReceivedFrame | undefined {
  return presenceOf(client).at(-1);
}
