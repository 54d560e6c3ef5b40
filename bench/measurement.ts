import { reasonOf } from "../src/core/errors.ts";
import { startProcess } from "../test/support/child-process.ts";
import { ROOT } from "../test/support/runtimes.ts";
import type { Contender } from "./contenders.ts";
import type { Published, PublisherTask } from "./load/publisher.ts";
import type { Observed, Ready, SubscriberTask } from "./load/subscribers.ts";
import type { Cores } from "./machine.ts";

/** What is asked of a contender. */
export interface Scenario {
  readonly name: string;
  readonly clients: number;
  readonly payloadBytes: number;
  /** Messages per second; `undefined`: saturated, as many as the slowest client takes. */
  readonly rate: number | undefined;
}

export interface Timing {
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** What came of one contender in one round. */
export interface Measurement {
  /** Deliveries: a message counts once for each client that got it. */
  readonly deliveriesPerSecond: number;
  /** Of what was published while it was measured; 1 is all. */
  readonly deliveredShare: number;
  /** Whether in the end each client had got every message. */
  readonly complete: boolean;
  readonly p50Us: number;
  readonly p99Us: number;
  /** CPU time of the gateway for each delivery; `undefined` where it could not be had. */
  readonly cpuUsPerDelivery: number | undefined;
  /** What each had of one core; `others`: all that has no part in the bench. */
  readonly cpuShares: Readonly<Record<string, number>>;
  /** What the hypervisor took of the machine. */
  readonly stealShare: number;
  /** By how much the publisher's schedule slipped at worst. */
  readonly publisherLateMs: number;
  readonly lostClients: number;
}

const SUBJECT = "bench.load";
/** So much longer than what is measured is published. */
const MARGIN_MS = 200;

/**
 * Starts a contender and its load, measures, and ends all of it.
 *
 * @throws Error with the contender's last words where something failed.
 */
export async function measure(
  contender: Contender,
  scenario: Scenario,
  timing: Timing,
  cores: Cores | undefined,
): Promise<Measurement> {
  const carrier = await contender.start(cores);
  try {
    const { port, path, dialect, natsPort, pids } = carrier;
    const { clients, payloadBytes, rate } = scenario;
    const task: SubscriberTask = {
      port,
      path,
      dialect,
      pids,
      subject: SUBJECT,
      clients,
      ...timing,
    };
    const subscribers = await startLoad("load client", "bench/load/subscribers.ts", task);
    try {
      const { creditPort } = await subscribers.next<Ready>();
      const publisher = await startLoad("publisher", "bench/load/publisher.ts", {
        port: natsPort,
        subject: SUBJECT,
        payloadBytes,
        ...(rate !== undefined && { rate }),
        durationMs: timing.warmUpMs + timing.measureMs + MARGIN_MS,
        creditPort,
      } satisfies PublisherTask);
      try {
        const published = await publisher.next<Published>();
        return judge(scenario, await subscribers.next<Observed>(), published);
      } finally {
        await publisher.stop();
      }
    } finally {
      await subscribers.stop();
    }
  } catch (cause) {
    const said = `${contender.name} said last:\n${carrier.lastWords()}`;
    throw new Error(`Cannot measure "${scenario.name}": ${reasonOf(cause)}${said}`, { cause });
  } finally {
    await carrier.stop();
  }
}

/** A process of ours that is told what to do in its argument, and answers in lines of JSON. */
async function startLoad(name: string, file: string, task: object) {
  const command = [process.execPath, "run", file, JSON.stringify(task)];
  const running = await startProcess(name, command, { cwd: ROOT });
  return {
    next: async <T>(): Promise<T> => JSON.parse((await running.lines.next("line")).text) as T,
    stop: () => running.stop(),
  };
}

function judge(scenario: Scenario, seen: Observed, published: Published): Measurement {
  const { seconds, deliveries, latencyUs, machine, received } = seen;
  const offered = (published.messages / published.seconds) * seconds * scenario.clients;
  const { gateway } = seen.cpuSeconds;
  const publisher = published.cpuSeconds * (seconds / published.seconds);
  const used = { ...seen.cpuSeconds, publisher };
  const ours = Object.values(used).reduce((sum, value) => sum + value, 0);
  const shares = { ...used, ...(machine && { others: Math.max(0, machine.busy - ours) }) };
  return {
    deliveriesPerSecond: deliveries / seconds,
    deliveredShare: scenario.rate === undefined ? 1 : deliveries / offered,
    complete: received.fewest === published.messages,
    p50Us: latencyUs.p50,
    p99Us: latencyUs.p99,
    cpuUsPerDelivery:
      gateway === undefined || deliveries === 0 ? undefined : (gateway * 1e6) / deliveries,
    cpuShares: Object.fromEntries(
      Object.entries(shares).map(([name, value]) => [name, value / seconds]),
    ),
    stealShare: machine === undefined ? 0 : machine.stolen / machine.total,
    publisherLateMs: published.lateMs,
    lostClients: seen.lost.count,
  };
}
