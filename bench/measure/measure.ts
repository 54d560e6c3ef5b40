import { setTimeout as sleep } from "node:timers/promises";
import { reasonOf } from "../../src/core/ports/errors.ts";
import { startProcess } from "../../test/support/child-process.ts";
import { ensureNode } from "../../test/support/node-binary.ts";
import { ROOT } from "../../test/support/runtimes.ts";
import type { Carrier, Contender } from "../contenders/contender.ts";
import type { CrowdSeen, CrowdTask } from "../load/crowd.ts";
import { SUBJECT } from "../load/endpoint.ts";
import type { ReturningTask, ReturnsSeen } from "../load/returning.ts";
import type { FlowSeen, FlowTask } from "../load/subscribers.ts";
import { type Cores, rssBytes } from "../machine.ts";
import type { Crowd, Flow, Replay, Scenario, Timing } from "../scenario.ts";
import { type Measurement, spread } from "../summary.ts";
import { measureSlow } from "./slow.ts";

/** Messages flow for this much longer than the measurement. */
const MARGIN_MS = 200;
/** Time that a process stays idle before its memory is read. */
const SETTLE_MS = 700;
/** Load processes give up earlier, and say why. */
const DEADLINE_MS = 120_000;

/** Starts a contender and its load, measures, and ends both. An error is a measurement too. */
export async function measure(
  contender: Contender,
  scenario: Scenario,
  timing: Timing,
  cores: Cores | undefined,
): Promise<Measurement> {
  let carrier: Carrier | undefined;
  const { measureMs, warmUpMs } = { ...timing, ...(scenario as Partial<Flow>) };
  const flowMs = warmUpMs + measureMs + MARGIN_MS;
  try {
    carrier = await contender.start(cores, scenario, flowMs);
    if (scenario.kind === "flow") {
      return await measureFlow(carrier, scenario, { warmUpMs, measureMs, flowMs });
    }
    if (scenario.kind === "crowd") return await measureCrowd(carrier, scenario);
    if (scenario.kind === "slow") return await measureSlow(carrier, scenario, timing.isQuick);
    if (scenario.kind === "replay") return await measureReplay(carrier, scenario);
    await sleep(SETTLE_MS);
    return {
      figures: known({ readyMs: carrier.readyMs, rssBytes: rssBytes(carrier.pids.gateway) }),
    };
  } catch (cause) {
    const reason = reasonOf(cause);
    process.stderr.write(`\n${scenario.name}: ${contender.name}: ${reason}\n`);
    // Errors of processes hold their last lines; the first that says what was thrown is enough.
    const thrown = /Error: ([^\n]+)/.exec(reason)?.[1] ?? reason.split("\n", 1)[0]!;
    return { figures: {}, failure: thrown.slice(0, 100) };
  } finally {
    await carrier?.stop();
  }
}

async function measureFlow(
  { endpoint, pids, natsPort }: Carrier,
  scenario: Flow,
  times: Pick<FlowTask, "warmUpMs" | "measureMs" | "flowMs">,
): Promise<Measurement> {
  const { clients, stalled = 0, rate, subjects = 1 } = scenario;
  const task: FlowTask = { ...scenario, ...endpoint, ...times, pids, natsPort, subject: SUBJECT };
  const seen = await runLoad<FlowSeen>("subscribers.ts", task);
  const { seconds, deliveries, p50Us, p99Us, cpuSeconds, received, published } = seen;
  const { gateway, load } = cpuSeconds;
  const meant = published && Math.floor(published.messages / subjects);
  // NATS holds a publisher up if it can't pass on the messages.
  const isHeldUp = published && rate && published.messages < 0.99 * rate * published.seconds;
  return {
    figures: known({
      deliveriesPerSecond: deliveries / seconds,
      delivered:
        rate && Math.min(1, deliveries / (((rate * seconds) / subjects) * (clients - stalled))),
      p50Us,
      p99Us,
      cpuUsPerDelivery: gateway && deliveries > 0 ? (gateway * 1e6) / deliveries : undefined,
      rssBytes: seen.gatewayRssBytes,
    }),
    cpuShares: known({ gateway: gateway && gateway / seconds, load: load && load / seconds }),
    complete: received.fewest >= (meant ?? received.most) && !isHeldUp,
    lostClients: seen.lost,
  };
}

async function measureCrowd(carrier: Carrier, scenario: Crowd): Promise<Measurement> {
  const { endpoint, pids, natsPort } = carrier;
  const { clients, atOnce, messages, subjects } = scenario;
  const task: CrowdTask = {
    ...endpoint,
    ...(subjects !== undefined && { subjects }),
    subject: SUBJECT,
    pids,
    natsPort: natsPort!,
    clients,
    atOnce,
    messages,
  };
  const { grownBytes, connectedMs, lastClientMs, failed } = await runLoad<CrowdSeen>(
    "crowd.ts",
    task,
  );
  return {
    figures: known({
      bytesPerConnection:
        grownBytes && failed < clients ? grownBytes / (clients - failed) : undefined,
      lastClientMs: spread(lastClientMs)?.median,
      connectedMs,
      failedClients: failed,
    }),
  };
}

async function measureReplay(carrier: Carrier, scenario: Replay): Promise<Measurement> {
  const { endpoint, pids, natsPort } = carrier;
  const { clients, messages, earlier } = scenario;
  const task: ReturningTask = {
    ...endpoint,
    subject: SUBJECT,
    pids,
    natsPort: natsPort!,
    clients,
    messages,
    earlier,
  };
  const { caughtUpMs, before, during, gatewayRssBytes } = await runLoad<ReturnsSeen>(
    "returning.ts",
    task,
  );
  return {
    figures: known({
      caughtUpMs,
      p50Us: during.p50Us,
      p99Us: during.p99Us,
      calmP50Us: before.p50Us,
      calmP99Us: before.p99Us,
      rssBytes: gatewayRssBytes,
    }),
  };
}

/** Runs a load process on Node, which gets its task as an argument and prints one line of JSON. */
async function runLoad<Seen>(file: string, task: object): Promise<Seen> {
  const command = [ensureNode("node"), `bench/load/${file}`, JSON.stringify(task)];
  const running = await startProcess(file, command, { cwd: ROOT });
  try {
    const { stream, text } = await running.lines.next("line", DEADLINE_MS);
    if (stream === "stdout") return JSON.parse(text) as Seen;
    await running.exited;
    throw new Error(running.lines.entries.map((line) => line.text).join("\n"));
  } finally {
    await running.stop();
  }
}

/** Returns the fields that have a value. */
function known<Field extends string>(
  fields: Readonly<Record<Field, number | undefined>>,
): Partial<Record<Field, number>> {
  const entries = Object.entries<number | undefined>(fields).filter(
    ([, value]) => value !== undefined,
  );
  return Object.fromEntries(entries) as Partial<Record<Field, number>>;
}
