import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { ROOT, TARGETS } from "../../test/support/runtimes.ts";
import type { RuntimeName } from "../contenders/contender.ts";
import { spillway } from "../contenders/spillway.ts";
import type { Cores } from "../machine.ts";
import { measure } from "../measure/measure.ts";
import { flow } from "../scenario.ts";
import { RUNTIMES } from "../targets.ts";
import { type CpuProfile, selfTimes } from "./cpu-profile.ts";
import { profilesPage } from "./page.ts";

const FOLDER = `${ROOT}bench/profiles/`;
const SCENARIO = flow(100, 128, undefined);
const TIMING = { warmUpMs: 1000, measureMs: 3000 };
/** Long enough for a profile, and short enough for its file to stay small. */
const INTERVAL_US = 1000;
/** What is measured, and the end of the process: no more than idle. */
const LAST_US = (TIMING.measureMs + 500) * 1000;

/** Writes a profile of the saturated scenario for each runtime, and a page that says what is in them. */
export async function writeProfiles(cores: Cores | undefined): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const profiles = new Map<RuntimeName, ReturnType<typeof selfTimes>>();
  for (const runtime of RUNTIMES) {
    const file = `${runtime}.cpuprofile`;
    const contender = spillway(runtime, "node", profiled(runtime, file));
    const { failure } = await measure(contender, SCENARIO, TIMING, cores);
    if (failure !== undefined) throw new Error(`Cannot profile on ${runtime}: ${failure}`);
    const profile = JSON.parse(readFileSync(FOLDER + file, "utf8")) as CpuProfile;
    writeFileSync(FOLDER + file, JSON.stringify(profile));
    profiles.set(runtime, selfTimes(profile, LAST_US));
  }
  const page = profilesPage(SCENARIO, profiles);
  writeFileSync(`${ROOT}bench/PROFILES.md`, page);
  process.stdout.write(page);
}

/** The command of a runtime with its profiler, which has the same options on all three. */
function profiled(runtime: RuntimeName, file: string) {
  const [program, ...rest] = TARGETS[runtime].command();
  const options = [
    "--cpu-prof",
    `--cpu-prof-dir=${FOLDER}`,
    `--cpu-prof-name=${file}`,
    `--cpu-prof-interval=${INTERVAL_US}`,
  ];
  // Deno takes them behind its subcommand, Bun and Node before all.
  const behind = runtime === "deno" ? rest.splice(0, 1) : [];
  return { ...TARGETS[runtime], command: () => [program!, ...behind, ...options, ...rest] };
}
