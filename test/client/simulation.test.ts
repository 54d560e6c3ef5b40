/**
 * A client on a fake platform, against a model of the gateway, while everything goes wrong that may. A run that fails
 * prints its seed; `SPILLWAY_SEED=<seed>` repeats it and shows its frames, `SPILLWAY_RUNS=<n>` makes other numbers of runs.
 */
import { test } from "bun:test";
import { withSeeds } from "./support/random.ts";
import { simulate } from "./support/simulation.ts";

const RUNS = Number(process.env.SPILLWAY_RUNS ?? 400);
const trace = (line: string): boolean => process.stderr.write(`${line}\n`);
const shown = process.env.SPILLWAY_SEED === undefined ? undefined : trace;

test(
  "Each message comes once and in order, or a gap declares it, whatever happens to the connection",
  () => withSeeds(RUNS, (seed) => simulate(seed, shown)),
  120_000,
);
