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
  /** Of all the time in which something was done. */
  readonly share: number;
}

/** Pseudo functions in which nothing is done. */
const IDLE = new Set(["(idle)", "(root)"]);

/**
 * The functions of a profile, the costliest first.
 *
 * @param fromUs samples before that are left out: the start is not what is looked at.
 */
export function selfTimes(profile: CpuProfile, fromUs: number): SelfTime[] {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const spent = new Map<string, { owner: Owner; us: number }>();
  let nowUs = 0;
  let busyUs = 0;
  profile.samples.forEach((id, index) => {
    const us = profile.timeDeltas[index]!;
    nowUs += us;
    const frame = frames.get(id)!;
    if (nowUs < fromUs || IDLE.has(frame.functionName)) return;
    busyUs += us;
    const place = placeOf(frame.url);
    const where = place.path === "" ? "" : ` (${place.path}:${frame.lineNumber + 1})`;
    const name = `${frame.functionName || "anonymous"}${where}`;
    const known = spent.get(name) ?? { owner: place.owner, us: 0 };
    known.us += us;
    spent.set(name, known);
  });
  return [...spent]
    .map(([name, { owner, us }]) => ({ owner, name, share: us / busyUs }))
    .sort((a, b) => b.share - a.share);
}

/** Adds up what belongs to each. */
export function sharesByOwner(times: readonly SelfTime[]): Readonly<Record<Owner, number>> {
  const shares = { ours: 0, library: 0, runtime: 0 };
  for (const { owner, share } of times) shares[owner] += share;
  return shares;
}

function placeOf(url: string): { owner: Owner; path: string } {
  const path = url.replace(/^file:\/\//, "");
  const inPackage = path.lastIndexOf("node_modules/");
  if (inPackage >= 0) {
    return { owner: "library", path: path.slice(inPackage + "node_modules/".length) };
  }
  return path.startsWith(`${ROOT}src/`)
    ? { owner: "ours", path: path.slice(ROOT.length) }
    : { owner: "runtime", path };
}
