import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { runs, startProcess } from "../support/child-process.ts";
import { until } from "../support/event-log.ts";
import { cleanEnvironment } from "../support/gateway-process.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

/** The processes that another one has started, and those that they have started. */
function descendantsOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text
    .split(" ")
    .filter(Boolean)
    .map(Number)
    .flatMap((child) => [child, ...descendantsOf(child)]);
}

describe.skipIf(process.platform !== "linux")("A gateway without a file", () => {
  test.each([["1"], ["2"]])("ends with its terminal, with %s workers", async (workers) => {
    const { node } = TARGETS;
    const words = [...node.command(), "--port", "0", "--workers", workers, "--log-format", "json"];
    // The program script, of util-linux, is a terminal. If it is killed, its window is closed.
    const terminal = await startProcess(
      "terminal",
      ["script", "--quiet", "--flush", "--command", `exec ${words.join(" ")}`, "/dev/null"],
      { cwd: ROOT, env: { ...cleanEnvironment(), ...node.env } },
    );
    await terminal.lines.find(({ text }) => text.includes('"listening"'), "line that it listens");
    const pids = descendantsOf(terminal.pid);
    expect(pids.length).toBeGreaterThanOrEqual(workers === "1" ? 1 : 3);
    terminal.signal("SIGKILL");
    await until(
      "end of the gateway",
      async () => pids.filter(runs),
      (left) => left.length === 0,
    );
  });
});
