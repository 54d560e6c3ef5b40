import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { ROOT } from "../../test/support/runtimes.ts";
import type { Flow } from "../scenario.ts";
import { startProgram } from "./behind-nats.ts";
import type { Contender } from "./contender.ts";

/** Messages that leave in one write when it is saturated: as much as Spillway joins then. */
const BATCH = 256;

/** The C reference, or why there is none. */
export interface Reference {
  readonly contender: Contender | undefined;
  readonly leftOut: string | undefined;
}

/** Compiles the C reference into `.cache`, where there is a C compiler. */
export function compileReference(): Reference {
  const folder = `${ROOT}.cache/bench`;
  const program = `${folder}/fanout`;
  mkdirSync(folder, { recursive: true });
  const source = `${ROOT}bench/reference/fanout.c`;
  const { error, status } = spawnSync("cc", ["-O2", "-o", program, source], { stdio: "ignore" });
  if (status === 0) return { contender: reference(program), leftOut: undefined };
  const why = error === undefined ? "cc could not compile it" : "there is no C compiler (cc)";
  return { contender: undefined, leftOut: why };
}

function reference(program: string): Contender {
  return {
    name: "C",
    role: "reference",
    async start(cores, scenario, flowMs) {
      const { clients, payloadBytes, rate = 0 } = scenario as Flow;
      const numbers = [clients, payloadBytes, rate, rate === 0 ? BATCH : 1, flowMs];
      const at = { path: "/", dialect: "envelope" } as const;
      const { pid, ...started } = await startProgram(
        "C",
        [program, ...numbers.map(String)],
        at,
        cores,
      );
      return { ...started, natsPort: undefined, pids: { gateway: pid } };
    },
  };
}
