/** A failed test, or whatever else went wrong in a process of tests. */
export interface Failure {
  readonly name: string;
  /** What `bun test` printed about it. */
  readonly text: string;
}

/** The result of one process of `bun test`. */
export interface Report {
  readonly passed: number;
  /** At least one if the process failed in any way. */
  readonly failed: number;
  readonly failures: readonly Failure[];
}

const RESULT = /^\((pass|fail|skip|todo)\) (.*?)(?: \[[\d.]+m?s\])?$/;
/** The head of the list in which `bun test` repeats the names of failed tests. */
const REPEATED = /^\d+ tests? failed:$/;
const COUNT = /^ *(\d+) (pass|fail|error)s?$/;
const LAST_LINES = 40;

/**
 * Reads the output of `bun test`.
 *
 * @param ended - how the process ended: its exit code, or why it has none.
 */
export function readReport(lines: readonly string[], ended: number | string): Report {
  const count = { pass: 0, fail: 0, error: 0 };
  const failures: Failure[] = [];
  let last = "no test";
  let block: string[] = [];
  let repeats = false;
  for (const line of lines) {
    const [, number, counted] = COUNT.exec(line) ?? [];
    if (counted !== undefined) count[counted as keyof typeof count] += Number(number);
    repeats ||= REPEATED.test(line);
    const [, result, name = ""] = RESULT.exec(line) ?? [];
    if (result === undefined || repeats) {
      const ownsLine = block.length === 0 && line.startsWith("  ^ ") && failures.length > 0;
      if (ownsLine) failures.push(withLine(failures.pop()!, line));
      else block.push(line);
      continue;
    }
    if (result === "fail") failures.push({ name, text: block.join("\n").trim() });
    last = name;
    block = [];
  }
  // An error outside of a test is an error, and not always a failed test as well.
  const failed = Math.max(count.fail, count.error, failures.length);
  const isOver = typeof ended === "number";
  if (isOver && (ended === 0 || failures.length > 0) && failures.length >= failed) {
    return { passed: count.pass, failed, failures };
  }
  const name = isOver ? `exit code ${ended}` : `${ended} after "${last}"`;
  failures.push({ name, text: lines.slice(-LAST_LINES).join("\n").trim() });
  return { passed: passedOf(lines, count.pass), failed: Math.max(failed, 1), failures };
}

/** Adds a line that `bun test` prints after the name of a failed test. */
function withLine({ name, text }: Failure, line: string): Failure {
  return { name, text: `${text}\n${line}`.trim() };
}

/** A process that is ended early hasn't counted, but has printed what passed. */
function passedOf(lines: readonly string[], counted: number): number {
  return counted || lines.filter((line) => line.startsWith("(pass) ")).length;
}
