import { readFile } from "node:fs/promises";
import process from "node:process";
import type { Host } from "./command.ts";
import { leaveEarlySignals } from "./early-signals.ts";

const MAX_INPUT = 64 * 1024;

/** This process, as the host of a command. */
export const processHost: Host = {
  env: process.env,
  // https://no-color.org
  hasColors: process.stdout.isTTY === true && !process.env.NO_COLOR,
  isTerminal: process.stdout.isTTY === true,
  readTextFile: (path) => readFile(path, "utf8"),
  async readInput(prompt, part) {
    if (process.stdin.isTTY) process.stderr.write(prompt);
    process.stdin.setEncoding("utf8");
    let text = "";
    for await (const chunk of process.stdin) {
      text += chunk;
      if ((part === "line" && text.includes("\n")) || text.length > MAX_INPUT) break;
    }
    return part === "line" ? (text.split(/\r?\n/)[0] ?? "") : text.slice(0, MAX_INPUT);
  },
  write: (text) => void process.stdout.write(text),
  async drained() {
    if (process.stdout.writableNeedDrain) {
      await new Promise((resolve) => process.stdout.once("drain", resolve).once("close", resolve));
    }
  },
  interruption() {
    const ended = new AbortController();
    const end = (): void => ended.abort();
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, end);
    leaveEarlySignals();
    // Its reader is gone (EPIPE).
    process.stdout.once("error", end);
    return ended.signal;
  },
  writeError: (text) => void process.stderr.write(text),
};
