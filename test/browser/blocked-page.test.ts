/** A page whose script is busy for some seconds, in a real browser: the gateway knows how far behind it is. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { NatsConnection } from "nats";
import type { Page } from "puppeteer-core";
import { metric } from "../contract/support/metrics.ts";
import { describeInBrowser, eventually } from "../support/browser.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { connectLasting } from "../support/nats-connection.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { TARGETS } from "../support/runtimes.ts";

const SUBJECTS = 20;
const PUBLISH_MS = 20;
const KILOBYTE = "x".repeat(1000);
const BLOCKED_MS = 5000;
const SAMPLE_MS = 100;
/** The values that a page sees are fresh again when they are no older. */
const FRESH_MS = 500;
/** A lag is looked at from when the page has been busy for so long: a part of it is then a small one. */
const MEASURED_FROM_MS = 2000;

/** A value that a page has seen: when, and when it was published. */
type Seen = readonly [seenAt: number, at: number];

/** The gateway's words about the lag of its one client, and their time. */
interface LagSample {
  readonly atMs: number;
  readonly lagMs: number;
}

interface Figures {
  readonly samples: number;
  readonly ratio: number;
  readonly worstErrorMs: number;
  readonly freshAfterMs: number;
  readonly oldValues: number;
}

/** Subscribes in the page, which notes each value that it sees. */
function watch(page: Page, url: string): Promise<void> {
  return page.evaluate((url) => {
    const seen: Seen[] = [];
    Object.assign(globalThis, { seen });
    new WebSocket(url).onmessage = ({ data }) => {
      seen.push([Date.now(), JSON.parse(data).payload.at]);
    };
  }, url);
}

/** Keeps the page's script busy. @returns when that began and ended. */
function block(page: Page, ms: number): Promise<readonly [from: number, to: number]> {
  return page.evaluate(
    (ms) =>
      new Promise<readonly [number, number]>((resolve) => {
        setTimeout(() => {
          const from = Date.now();
          while (Date.now() - from < ms);
          resolve([from, Date.now()]);
        });
      }),
    ms,
  );
}

function seenBy(page: Page): Promise<Seen[]> {
  return page.evaluate(() => (globalThis as unknown as { seen: Seen[] }).seen);
}

/** Asks the gateway for its client's lag until a promise is settled. */
async function sampleLag(gateway: Gateway, until: Promise<unknown>): Promise<LagSample[]> {
  let isOver = false;
  until.finally(() => {
    isOver = true;
  });
  const samples: LagSample[] = [];
  while (!isOver) {
    const before = Date.now();
    const lagMs = 1000 * (await metric(gateway, "websocket_client_lag_seconds", 'quantile="1"'));
    samples.push({ atMs: (before + Date.now()) / 2, lagMs });
    await sleep(SAMPLE_MS);
  }
  return samples;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** The gateway knew how far a page was behind that was busy, and the page saw fresh values soon after. */
function expectKnown({ samples, ratio, freshAfterMs }: Figures): void {
  expect(samples).toBeGreaterThan(5);
  expect(ratio).toBeWithin(0.8, 1.15);
  expect(freshAfterMs).toBeLessThan(BLOCKED_MS / 2);
}

await describeInBrowser("Page that is busy for some seconds", (open) => {
  let nats: NatsServer;
  let publisher: NatsConnection;
  let publishing: ReturnType<typeof setInterval>;
  let gateway: Gateway | undefined;
  beforeAll(async () => {
    nats = await startNatsServer();
    publisher = await connectLasting(nats.url);
    const beganMs = performance.now();
    let rounds = 0;
    publishing = setInterval(() => {
      for (; rounds * PUBLISH_MS < performance.now() - beganMs; rounds++) {
        for (let n = 0; n < SUBJECTS; n++) {
          publisher.publish(`v.${n}`, JSON.stringify({ at: Date.now(), x: KILOBYTE }));
        }
      }
    }, PUBLISH_MS / 2);
  });
  afterEach(async () => {
    await gateway?.stop();
    gateway = undefined;
  });
  afterAll(async () => {
    clearInterval(publishing);
    await publisher?.close();
    await nats?.stop();
  });

  /**
   * Blocks a page.
   *
   * @returns the gateway's lag ÷ the true one, and after what time and how many old values the page saw a fresh one.
   */
  async function blockPage(
    target: "bun" | "bun-native" | "node",
    mark_interval: string,
  ): Promise<Figures> {
    const config = { nats_url: nats.url, subjects: ["v.>"], policy: "conflate", mark_interval };
    gateway = await startGateway(TARGETS[target], { config });
    const { page } = await open(`${gateway.url}/livez`);
    await watch(page, gateway.wsUrl);
    await eventually(
      () => seenBy(page),
      (seen) => seen.length > 2000,
      "values",
    );
    const blocking = block(page, BLOCKED_MS);
    const samples = await sampleLag(gateway, blocking);
    const [from, to] = await blocking;
    const isFresh = ([seenAt, at]: Seen): boolean => seenAt >= to && seenAt - at <= FRESH_MS;
    const seen = await eventually(
      () => seenBy(page),
      (seen) => seen.some(isFresh),
      "fresh values",
    );
    const fresh = seen.find(isFresh)!;
    const measured = samples.filter(({ atMs }) => atMs >= from + MEASURED_FROM_MS && atMs < to);
    const figures: Figures = {
      samples: measured.length,
      ratio: median(measured.map(({ atMs, lagMs }) => lagMs / (atMs - from))),
      worstErrorMs: Math.max(...measured.map(({ atMs, lagMs }) => Math.abs(lagMs - (atMs - from)))),
      freshAfterMs: fresh[0] - to,
      oldValues: seen.filter(([seenAt]) => seenAt >= to && seenAt < fresh[0]).length,
    };
    process.stdout.write(`${target}, marks each ${mark_interval}: ${JSON.stringify(figures)}\n`);
    return figures;
  }

  for (const target of ["bun-native", "node"] as const) {
    test(`is known to lag for as long, and sees fresh values soon after; ${target}`, async () => {
      expectKnown(await blockPage(target, "1s"));
    });
  }

  test("is known to lag for as long, and sees few old values after it; without marks, it is not known; bun", async () => {
    const unmarked = await blockPage("bun", "0s");
    const marked = await blockPage("bun", "1s");
    expectKnown(marked);
    expect(unmarked.ratio).toBeLessThan(0.5);
    expect(marked.oldValues).toBeLessThan(unmarked.oldValues / 2);
  });
});
