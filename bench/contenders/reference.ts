import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { ROOT } from "../../test/support/runtimes.ts";
import type { Flow } from "../scenario.ts";
import { type Contender, startProgram } from "./contender.ts";

/** Messages per write when saturated: as many as Spillway joins then. */
const BATCH = 256;

/** Compiles the C reference into `.cache`; `undefined` if there is no C compiler. */
export function compileReference(): Contender | undefined {
  const folder = `${ROOT}.cache/bench`;
  const program = `${folder}/fanout`;
  mkdirSync(folder, { recursive: true });
  const source = `${ROOT}bench/reference/fanout.c`;
  const { status } = spawnSync("cc", ["-O2", "-o", program, source], { stdio: "ignore" });
  if (status !== 0) return undefined;
  return {
    name: "C",
    role: "reference",
    start(cores, scenario, flowMs) {
      const { clients, payloadBytes, rate = 0 } = scenario as Flow;
      const numbers = [clients, payloadBytes, rate, rate === 0 ? BATCH : 1, flowMs];
      const command = [program, ...numbers.map(String)];
      return startProgram("C", command, { path: "/", dialect: "envelope" }, cores);
    },
  };
}
