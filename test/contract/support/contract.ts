import { describe, setDefaultTimeout } from "bun:test";
import { TARGETS, type Target } from "../../support/runtimes.ts";

/** Each runtime once: for what doesn't depend on the sockets. */
export const EVERY_RUNTIME = [TARGETS.bun, TARGETS.deno, TARGETS.node22, TARGETS.node];

/** Each runtime with each kind of sockets that it has. */
export const EVERY_SOCKET = [
  TARGETS.bun,
  TARGETS["bun-native"],
  TARGETS.deno,
  TARGETS["deno-native"],
  TARGETS.node22,
  TARGETS.node,
];

/** All of them and the compiled `dist/`: for what the compiler could break. */
export const EVERY_TARGET = [...EVERY_SOCKET, TARGETS["node-dist"]];

/**
 * Hosts without a command line and files, for what they could break: they bring their own sockets, and reach NATS by WebSockets.
 * They aren't in themes that need files, arguments or `admin_port`, that check `Host` (the host does that), or that kill
 * the process: workerd outlives the program that a test kills.
 */
export const EVERY_EDGE = [TARGETS["deno-serve"], TARGETS.workerd];

/**
 * One theme of the behavioural suite, tested against the real command on each of the targets.
 * To run one target only: `npm test -- test/contract -t "Contract on deno "`.
 */
export function contract(targets: readonly Target[], theme: (target: Target) => void): void {
  setDefaultTimeout(180_000);
  for (const target of targets) {
    describe(`Contract on ${target.name}`, () => theme(target));
  }
}
