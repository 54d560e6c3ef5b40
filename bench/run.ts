/**
 * `npm run bench`: Spillway on each runtime and its controls, measured in the same run.
 *
 * - `--quick`: one short round of few scenarios.
 * - `--only <words>`: the scenarios and contenders whose names contain all of the words, such as
 *   `--only "saturated node"`. The files that hold the results stay as they are.
 *
 * See `bench/README.md` for what is measured and how.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ensureNatsServer } from "../scripts/install-nats-server.ts";
import { ensureNode } from "../test/support/node-binary.ts";
import { ROOT, TARGETS } from "../test/support/runtimes.ts";
import type { Contender } from "./contenders.ts";
import { type Cores, describeMachine, findCores } from "./machine.ts";
import { type Measurement, measure, type Scenario } from "./measurement.ts";
import { makePlan, type Plan } from "./plan.ts";
import { outcomeSection, type Results, resultsPage } from "./report.ts";
import { type Round, summarize } from "./summary.ts";

/**
 * A measurement is noisy, and made again, when the hypervisor took more of the machine than this, or
 * other programs more of one core …
 */
const MOST_STEAL = 0.03;
const MOST_OTHERS = 0.1;
/** … so many times at the most; then the least noisy one counts. */
const MOST_REPEATS = 2;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
  },
});
const natsServer = await ensureNatsServer();
const cores = findCores();
const plan = makePlan(values);
const date = new Date().toISOString();
let repeated = 0;
const outcomes = await runPlan(plan, cores);
const results: Results = {
  date,
  machine: describeMachine(cores),
  versions: findVersions(),
  rounds: plan.rounds,
  timing: plan.timing,
  repeated,
  outcomes,
};
if (repeated > 0) say(`${repeated} measurements were run again because of noise.`);
if (values.only === "") {
  writeFileSync(`${ROOT}bench/results.json`, `${JSON.stringify(results, null, 1)}\n`);
  writeFileSync(`${ROOT}bench/RESULTS.md`, resultsPage(results));
}

async function runPlan({ scenarios, rounds, timing }: Plan, cores: Cores | undefined) {
  const outcomes = [];
  for (const { scenario, contenders } of scenarios) {
    const measured: Round[] = [];
    for (let index = 0; index < rounds; index++) {
      const round = new Map<Contender, Measurement>();
      for (const contender of contenders) {
        progress(`${scenario.name}, round ${index + 1} of ${rounds}: ${contender.name}`);
        round.set(contender, await measureInPeace(contender, scenario, timing, cores));
      }
      measured.push(round);
    }
    progress("");
    const outcome = summarize(scenario, measured);
    say(outcomeSection(outcome));
    outcomes.push(outcome);
  }
  return outcomes;
}

async function measureInPeace(
  contender: Contender,
  scenario: Scenario,
  timing: Plan["timing"],
  cores: Cores | undefined,
): Promise<Measurement> {
  let best = await measure(contender, scenario, timing, cores);
  for (let again = 0; again < MOST_REPEATS && noise(best) > 1; again++) {
    repeated++;
    const next = await measure(contender, scenario, timing, cores);
    if (noise(next) < noise(best)) best = next;
  }
  return best;
}

/** More than 1 is too much. */
function noise({ stealShare, cpuShares }: Measurement): number {
  return Math.max(stealShare / MOST_STEAL, (cpuShares.others ?? 0) / MOST_OTHERS);
}

function findVersions(): Record<string, string> {
  const packageVersion = (name: string): string => {
    const manifest = readFileSync(`${ROOT}node_modules/${name}/package.json`, "utf8");
    return (JSON.parse(manifest) as { version: string }).version;
  };
  const said = (file: string): string => {
    const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8" });
    return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? "unknown";
  };
  return {
    Bun: Bun.version,
    Node: said(ensureNode("node")),
    Deno: said(TARGETS.deno.command()[0]!),
    "nats-server": said(natsServer),
    nats: packageVersion("nats"),
    ws: packageVersion("ws"),
  };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What is being done, on a line that the next one replaces; for terminals only. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
