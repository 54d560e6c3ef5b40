/**
 * Tabs that share a connection, on a fake browser, against a model of the gateway: tabs come and go at any moment, the
 * leading one first of all. A run that fails prints its seed; `SPILLWAY_SEED=<seed>` repeats it, `SPILLWAY_RUNS=<n>` makes
 * other numbers of runs.
 */
import { expect, test } from "bun:test";
import { type Connection, connect, type Item, shared } from "spillway/client";
import { FakeBrowser, type FakeTab } from "./support/fake-browser.ts";
import { FakePlatform, settled } from "./support/fake-platform.ts";
import { ModelGateway, type ModelMessage } from "./support/model-gateway.ts";
import { seeded, withSeeds } from "./support/random.ts";

const RUNS = Number(process.env.SPILLWAY_RUNS ?? 300);
const SUBJECTS = ["x.a", "x.b", "x.c"];
const PATTERNS = [["x.>"], ["x.a"], ["x.a", "x.b"], ["x.c"]];

interface Reader {
  readonly tab: FakeTab;
  readonly connection: Connection;
  readonly patterns: readonly string[];
  readonly items: Item<{ n: number }>[];
  /** Messages up to this one may lie before its begin. */
  begun: number;
  error: unknown;
}

const numberOf = (id: string): number => Number(id.split(":")[2]);

function check({ patterns, items, begun, error }: Reader, messages: readonly ModelMessage[]): void {
  if (error !== undefined) throw error;
  const numbers = items.flatMap((item) => (item.type === "data" ? [item.payload.n] : []));
  for (const [index, n] of numbers.entries()) {
    if (n <= (numbers[index - 1] ?? 0)) throw new Error(`twice or out of order: ${numbers}`);
  }
  const isInGap = (n: number): boolean =>
    items.some((item) => item.type === "gap" && n >= numberOf(item.from) && n <= numberOf(item.to));
  for (const { n, subject } of messages) {
    if (n <= begun || !patterns.some((one) => one === subject || one === "x.>")) continue;
    if (numbers.includes(n) || isInGap(n)) continue;
    const seen = items.map((item) => (item.type === "data" ? item.payload.n : item.type));
    throw new Error(`lost ${n} ${subject} of ${patterns} after ${begun}: ${seen.join(" ")}`);
  }
}

async function run(seed: number): Promise<void> {
  const random = seeded(seed);
  const pick = (most: number): number => Math.floor(random() * most);
  const gateway = new ModelGateway("at-most-once", random);
  const fake = new FakePlatform(random);
  const browser = new FakeBrowser(fake);
  let isHealthy = false;
  fake.opened = (socket) => {
    if (!isHealthy && random() < 0.2) fake.platform.timer(pick(3000), () => socket.end(1006));
    else {
      fake.platform.timer(pick(200), () => {
        if (socket.closedWith === undefined) gateway.accept(socket);
      });
    }
  };
  const readers: Reader[] = [];
  const subscribe = (tab: FakeTab, connection: Connection): void => {
    const from = random() < 0.5 ? "all" : "new";
    const patterns = PATTERNS[pick(4)]!;
    const subscription = connection.subscribe<{ n: number }>(patterns, { from });
    const begun = from === "all" ? 0 : Number.POSITIVE_INFINITY;
    const reader: Reader = { tab, connection, patterns, items: [], begun, error: undefined };
    readers.push(reader);
    void subscription.ready.then(
      (terms) => {
        if (from === "new") reader.begun = numberOf(terms.from);
      },
      () => {},
    );
    void (async () => {
      for await (const item of subscription) reader.items.push(item);
    })().catch((error) => {
      reader.error = error;
    });
  };
  const tabs = new Map<FakeTab, Connection>();
  const open = (): void => {
    const tab = browser.tab();
    const connection = connect("ws://model", shared({ platform: tab.platform }));
    tabs.set(tab, connection);
    subscribe(tab, connection);
  };
  const end = (tab: FakeTab): void => {
    tabs.delete(tab);
    tab.kill();
    for (const reader of readers.splice(0)) if (reader.tab !== tab) readers.push(reader);
  };
  open();
  open();
  const steps = 30 + pick(50);
  for (let step = 0; step < steps; step++) {
    const all = [...tabs.keys()];
    const tab = all[pick(all.length)];
    const leader = all.find(({ sockets }) => sockets.some(({ readyState }) => readyState < 2));
    const victim = random() < 0.7 ? (leader ?? tab) : tab;
    switch (pick(14)) {
      case 0:
        if (tabs.size < 5) open();
        break;
      case 1:
        if (victim !== undefined) end(victim);
        break;
      case 2:
        if (victim !== undefined) victim.isFrozen = true;
        break;
      case 3:
        victim?.thaw();
        break;
      case 4:
        victim?.live((["pagehide", "pageshow", "online"] as const)[pick(3)]!);
        break;
      case 5:
        victim?.live(victim.hidden ? "visible" : "hidden");
        break;
      case 6: {
        const [one] = gateway.connections;
        if (one !== undefined) gateway.end(one, [1006, 1001, 4511][pick(3)]!);
        break;
      }
      case 7:
        if (tab !== undefined && readers.length < 12) subscribe(tab, tabs.get(tab)!);
        break;
      case 8:
        if (tab !== undefined && random() < 0.3) {
          await tabs.get(tab)!.close();
          end(tab);
        }
        break;
      default:
        gateway.publish(SUBJECTS[pick(3)]!);
    }
    gateway.work();
    await fake.advance(pick(4) === 0 ? pick(12_000) : pick(500));
  }
  // Everything is well from now on.
  isHealthy = true;
  for (const tab of tabs.keys()) {
    tab.thaw();
    tab.live("visible");
    tab.live("pageshow");
  }
  const work = async (rounds: number, ms: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      for (let n = 0; n < 6; n++) gateway.work();
      await fake.advance(ms);
    }
  };
  await work(20, 5000);
  for (const subject of SUBJECTS) gateway.publish(subject);
  await work(60, 500);
  for (const connection of tabs.values()) expect(connection.state.type).toBe("open");
  if (tabs.size > 0) expect(gateway.connections.length).toBe(1);
  for (const reader of readers) check(reader, gateway.messages);
  for (const connection of tabs.values()) await connection.close();
  await fake.advance(20_000);
  await settled();
  const listeners = [...tabs.keys()].map((tab) => tab.listeners.size);
  expect([browser.leftovers, fake.timers.size, ...listeners]).toEqual([
    0,
    0,
    ...listeners.map(() => 0),
  ]);
  expect(gateway.connections.length).toBe(0);
}

test(
  "Each tab has each message once and in order, or a gap, whichever tabs end, freeze or come",
  () => withSeeds(RUNS, run),
  120_000,
);
