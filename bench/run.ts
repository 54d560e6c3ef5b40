/**
 * `npm run bench`: measures Spillway on each runtime and its controls in the same run.
 *
 * - `--quick`: one round of the scenarios that the goals are about. Writes no files.
 * - `--rounds <count>`: a full run of fewer or more rounds. Default: 3.
 * - `--only <words>`: what has all of the words in its names, such as `--only "saturated node"`. Writes no files.
 *
 * See `bench/README.md` for what is measured and how.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ensureNatsServer } from "../scripts/install-nats-server.ts";
import { ROOT } from "../test/support/runtimes.ts";
import { compileReference } from "./contenders/reference.ts";
import { allowManyFiles, describeMachine, findCores } from "./machine.ts";
import { measure } from "./measure/measure.ts";
import { type Block, type Cell, makePlan, type Plan } from "./plan.ts";
import { drawPlots } from "./plots.ts";
import {
  goalTable,
  outcomeSection,
  type Results,
  resultsPage,
  slowClientSection,
  withSpeed,
} from "./report.ts";
import { tellStories } from "./slow-client.ts";
import { type Measurement, type Outcome, summarize } from "./summary.ts";
import { findVersions } from "./versions.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    rounds: { type: "string", default: "3" },
  },
});
const date = new Date().toISOString();
const natsServer = await ensureNatsServer();
allowManyFiles();
const cores = findCores();
const reference = compileReference();
if (reference === undefined) say("The C reference is left out: cc can't compile it.");
const plan = makePlan(values, reference);
const outcomes: Outcome[] = [];
for (const block of plan.blocks) {
  outcomes.push(await measureBlock(block, plan));
  say(outcomeSection(outcomes.at(-1)!));
  say(`After ${Math.round(performance.now() / 1000)} s in all.\n`);
}
const slowClient = await tellStories(cores, values.only);
if (slowClient.length > 0) say(`${slowClientSection(slowClient)}\n`);
if (outcomes.length + slowClient.length === 0) say("Nothing has such a name.");
if (values.only === "") say(goalTable(outcomes));
if (!values.quick && values.only === "") {
  write({
    date,
    minutes: performance.now() / 60_000,
    machine: describeMachine(cores),
    versions: findVersions(natsServer),
    rounds: plan.rounds,
    timing: plan.timing,
    outcomes,
    slowClient,
  });
}

async function measureBlock(block: Block, { timing, ...plan }: Plan): Promise<Outcome> {
  const rounds = Math.min(plan.rounds, block.rounds ?? plan.rounds);
  const measured = new Map<Cell, Measurement[]>(block.cells.map((cell) => [cell, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const cell of block.cells) {
      const { scenario, contender } = cell;
      show(`${block.name}, round ${round} of ${rounds}: ${scenario.name}: ${contender.name}`);
      measured.get(cell)!.push(await measure(contender, scenario, timing, cores));
    }
  }
  show("");
  return summarize(block, measured);
}

function write(results: Results): void {
  mkdirSync(`${ROOT}bench/plots`, { recursive: true });
  for (const [file, svg] of drawPlots(results.outcomes, results.slowClient)) {
    writeFileSync(`${ROOT}bench/plots/${file}`, svg);
  }
  writeFileSync(`${ROOT}bench/RESULTS.md`, resultsPage(results));
  const readme = `${ROOT}README.md`;
  writeFileSync(readme, withSpeed(readFileSync(readme, "utf8"), results.outcomes));
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Shows what is being measured, on a line that the next one replaces; on terminals only. */
function show(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
