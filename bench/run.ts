/**
 * `npm run bench`: Spillway on each runtime and its controls, measured in the same run.
 *
 * - `--quick`: one round of what the targets are about; the files that hold the results stay.
 * - `--only <words>`: what has all of the words in its names, such as `--only "saturated node"`;
 *   the files stay as well.
 * - `--slow-client`: only what becomes of a client that does not read for a while; its part of the
 *   files is written anew.
 * - `--report`: writes the page and the plots anew, from the results that are there.
 * - `--renew <words>`: blocks whose names have all of the words, three rounds of each; they take their
 *   place in the files.
 * - `--compare <file>`: how the results that are there stand to those of another full run, in the page
 *   as well.
 * - `--profile`: profiles of the saturated scenario, one for each runtime.
 *
 * See `bench/README.md` for what is measured and how.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ensureNatsServer } from "../scripts/install-nats-server.ts";
import { ROOT } from "../test/support/runtimes.ts";
import { compileReference } from "./contenders/reference.ts";
import { Findings } from "./findings.ts";
import { measureInstalled } from "./installed.ts";
import { allowManyFiles, type Cores, describeMachine, findCores } from "./machine.ts";
import { isMeant, makePlan, type Plan } from "./plan.ts";
import { writeProfiles } from "./profile/profile.ts";
import { repeatOf } from "./repeat.ts";
import { outcomeSection } from "./report/outcome.ts";
import { resultsPage } from "./report/page.ts";
import { writePlots } from "./report/plots.ts";
import { writeReadme } from "./report/readme.ts";
import { slowClientSection } from "./report/slow-client.ts";
import { targetTable } from "./report/target-table.ts";
import { trustSection } from "./report/trust.ts";
import { type Results, readResults, writeResults } from "./results.ts";
import { runPlan } from "./rounds.ts";
import { tellStories } from "./slow-client/story.ts";
import type { Outcome } from "./summary.ts";
import { findVersions } from "./versions.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    "slow-client": { type: "boolean", default: false },
    report: { type: "boolean", default: false },
    renew: { type: "string", default: "" },
    compare: { type: "string", default: "" },
    profile: { type: "boolean", default: false },
  },
});
if (values.compare !== "") compareWith(values.compare);
else if (values.report) writeReport(readResults());
else await measureAll();

async function measureAll(): Promise<void> {
  const natsServer = await ensureNatsServer();
  allowManyFiles();
  const cores = findCores();
  if (values.profile) {
    await writeProfiles(cores);
    return;
  }
  if (values["slow-client"]) {
    const results = { ...readResults(), slowClient: await tellStories(cores) };
    say(slowClientSection(results.slowClient));
    writeResults(results);
    writeReport(readResults());
    return;
  }
  const keep = !values.quick && values.only === "";
  const reference = compileReference();
  if (reference.leftOut !== undefined) say(`The C reference is left out: ${reference.leftOut}.`);
  const plan = makePlan(values, reference.contender);
  if (values.renew !== "") {
    await renew(plan, cores);
    return;
  }
  const beganMs = performance.now();
  const about = {
    date: new Date().toISOString(),
    machine: describeMachine(cores),
    versions: findVersions(natsServer),
    rounds: plan.rounds,
    timing: plan.timing,
    leftOut: reference.leftOut,
    installed: measureInstalled(),
  };
  const minutes = (): number => (performance.now() - beganMs) / 60_000;
  const spent = (): void => say(`After ${Math.round(minutes() * 60)} s in all.\n`);
  let results: Results = { ...about, minutes: 0, repeated: 0, outcomes: [] };
  for await (const progress of runPlan(plan, cores)) {
    say(outcomeSection(progress.outcomes.at(-1)!));
    spent();
    results = { ...results, minutes: minutes(), ...progress };
    // What is measured is kept, whatever becomes of the rest.
    if (keep) writeResults(results);
  }
  const slowClient = await tellStories(cores, values.only);
  if (slowClient.length > 0) {
    say(slowClientSection(slowClient));
    spent();
  }
  results = { ...results, minutes: minutes(), slowClient };
  if (values.only === "") say(targetTable(new Findings(results.outcomes)));
  if (results.outcomes.length + slowClient.length === 0) say("Nothing has such a name.");
  say(`${results.repeated} measurements were run again.`);
  if (!keep) return;
  writeResults(results);
  writeReport(readResults());
}

/** Measures some blocks anew; all others stay as they are. */
async function renew(plan: Plan, cores: Cores | undefined): Promise<void> {
  const blocks = plan.blocks.filter(({ name }) => isMeant(values.renew, name));
  const renewed = new Date().toISOString();
  for await (const { outcomes } of runPlan({ ...plan, blocks }, cores)) {
    const outcome = { ...outcomes.at(-1)!, renewed };
    say(outcomeSection(outcome));
    const results = readResults();
    const isSame = ({ name }: Outcome): boolean => name === outcome.name;
    const kept = results.outcomes.map((other) => (isSame(other) ? outcome : other));
    writeResults({ ...results, outcomes: kept.some(isSame) ? kept : [...kept, outcome] });
  }
  writeReport(readResults());
}

function compareWith(file: string): void {
  const results = readResults();
  const { repeat: _, ...others } = results;
  const [first, second] = [others, readResults(file)].toSorted((one, other) =>
    one.date.localeCompare(other.date),
  ) as [Results, Results];
  writeResults({ ...others, repeat: repeatOf(first, second) });
  writeReport(readResults());
  say(trustSection(readResults()));
}

function writeReport(results: Results): void {
  writePlots(results);
  writeReadme(results);
  writeFileSync(`${ROOT}bench/RESULTS.md`, resultsPage(results));
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
