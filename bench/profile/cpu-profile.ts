import { ROOT } from "../../test/support/runtimes.ts";

/** What all three runtimes write with `--cpu-prof`: the format of Chrome's DevTools. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { functionName: string; url: string; lineNumber: number };
  }[];
  /** The node of each sample. */
  readonly samples: readonly number[];
  /** Microseconds between samples. */
  readonly timeDeltas: readonly number[];
}

/** Whose code it is: `src/`, a package's, or the runtime's own, the kernel's work for it included. */
export type Owner = "ours" | "library" | "runtime";

/** Time that was spent in a function itself, not in what it calls. */
export interface SelfTime {
  readonly owner: Owner;
  /** With its file and line, where it has one. */
  readonly name: string;
  /** Empty where it has none. */
  readonly file: string;
  /** Of all the time in which something was done. */
  readonly share: number;
}

/** Pseudo functions in which nothing is done. */
const IDLE = new Set(["(idle)", "(root)"]);
/** Bun takes no samples while it waits: what is longer than this was waiting, not the next function. */
const LONGEST_SAMPLE_US = 20_000;

/**
 * The functions of a profile, the costliest first.
 *
 * @param lastUs so much of the profile's end is looked at: its beginning is the start of the process.
 */
export function selfTimes(profile: CpuProfile, lastUs: number): SelfTime[] {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const spent = new Map<string, { owner: Owner; file: string; us: number }>();
  let leftUs = profile.timeDeltas.reduce((sum, us) => sum + us, 0);
  let busyUs = 0;
  profile.samples.forEach((id, index) => {
    const us = profile.timeDeltas[index]!;
    leftUs -= us;
    const frame = frames.get(id)!;
    if (leftUs > lastUs || us > LONGEST_SAMPLE_US || IDLE.has(frame.functionName)) return;
    busyUs += us;
    const { owner, file } = placeOf(frame.url);
    const where = file === "" ? "" : ` (${file}:${frame.lineNumber + 1})`;
    const name = `${frame.functionName || "anonymous"}${where}`;
    const known = spent.get(name) ?? { owner, file, us: 0 };
    known.us += us;
    spent.set(name, known);
  });
  return [...spent]
    .map(([name, { owner, file, us }]) => ({ owner, name, file, share: us / busyUs }))
    .sort((a, b) => b.share - a.share);
}

/** Adds up what belongs to each. */
export function sharesByOwner(times: readonly SelfTime[]): Readonly<Record<Owner, number>> {
  const shares = { ours: 0, library: 0, runtime: 0 };
  for (const { owner, share } of times) shares[owner] += share;
  return shares;
}

/** Adds up what our files cost, the costliest first. */
export function sharesByFile(times: readonly SelfTime[]): [file: string, share: number][] {
  const shares = new Map<string, number>();
  for (const { owner, file, share } of times) {
    if (owner === "ours") shares.set(file, (shares.get(file) ?? 0) + share);
  }
  return [...shares].sort(([, a], [, b]) => b - a);
}

function placeOf(url: string): { owner: Owner; file: string } {
  const path = url.replace(/^file:\/\//, "");
  const inPackage = path.lastIndexOf("node_modules/");
  if (inPackage >= 0) {
    return { owner: "library", file: path.slice(inPackage + "node_modules/".length) };
  }
  return path.startsWith(`${ROOT}src/`)
    ? { owner: "ours", file: path.slice(ROOT.length) }
    : { owner: "runtime", file: path };
}
