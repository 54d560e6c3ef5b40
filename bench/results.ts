import { readFileSync, writeFileSync } from "node:fs";
import { ROOT } from "../test/support/runtimes.ts";
import type { Installed } from "./installed.ts";
import type { describeMachine } from "./machine.ts";
import type { Repeat } from "./repeat.ts";
import type { Timing } from "./scenario.ts";
import type { Story } from "./slow-client/story.ts";
import type { Outcome } from "./summary.ts";

/** All that a run found, as it stands in `results.json`. */
export interface Results {
  /** When the run began, in UTC. */
  readonly date: string;
  readonly minutes: number;
  readonly machine: ReturnType<typeof describeMachine>;
  readonly versions: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly timing: Timing;
  /** Measurements that were made again because of noise. */
  readonly repeated: number;
  /** Why there is no C reference. */
  readonly leftOut: string | undefined;
  /** The production dependencies. */
  readonly installed: Installed;
  readonly outcomes: readonly Outcome[];
  /** What became of a client that did not read for a while, by policy. */
  readonly slowClient?: readonly Story[] | undefined;
  /** How it stands to an earlier full run, where it was compared with one. */
  readonly repeat?: Repeat | undefined;
}

const FILE = `${ROOT}bench/results.json`;
const SIGNIFICANT_DIGITS = 4;

/** @param file by default, those of the last full run. */
export function readResults(file = FILE): Results {
  return JSON.parse(readFileSync(file, "utf8")) as Results;
}

/** One line for each row and comparison, and no more digits than were measured. */
export function writeResults(results: Results): void {
  const { outcomes, slowClient = [], ...about } = results;
  const blocks = outcomes.map(({ rows, comparisons, ...block }) => {
    const fields = [
      ...Object.entries(block).map(([name, value]) => `"${name}": ${json(value)}`),
      `"rows": [\n${rows.map(json).join(",\n")}\n]`,
      `"comparisons": [\n${comparisons.map(json).join(",\n")}\n]`,
    ];
    return `{\n${fields.join(",\n")}\n}`;
  });
  const head = Object.entries(about)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `"${name}": ${json(value)},\n`)
    .join("");
  const stories = slowClient.map(json).join(",\n");
  const found = `"outcomes": [\n${blocks.join(",\n")}\n],\n"slowClient": [\n${stories}\n]`;
  writeFileSync(FILE, `{\n${head}${found}\n}\n`);
}

function json(value: unknown): string {
  return JSON.stringify(value, (_, field: unknown) =>
    typeof field === "number" && !Number.isInteger(field)
      ? Number(field.toPrecision(SIGNIFICANT_DIGITS))
      : field,
  );
}
