import type { Endpoint } from "../load/endpoint.ts";
import type { Cores } from "../machine.ts";
import type { Flow, Scenario } from "../scenario.ts";

export type RuntimeName = "bun" | "deno" | "node";

/** What messages are carried by: Spillway, or a control. */
export interface Contender {
  readonly name: string;
  /**
   * - `"spillway"`: the command itself.
   * - `"bare"`: its runtime writing the same bytes, with nothing of ours in between.
   * - `"nats"`: nats-server's own WebSocket listener, with native subscribers.
   * - `"peer"`: what people write or take instead.
   * - `"reference"`: C, which makes its messages itself.
   */
  readonly role: "spillway" | "bare" | "nats" | "peer" | "reference";
  readonly runtime?: RuntimeName;
  /** Whose sockets clients connect to, where a runtime has two. */
  readonly sockets?: "node" | "native";
  /**
   * Starts it, behind a NATS server of its own that takes what the publisher sends.
   *
   * @param flowMs how long messages flow, for who makes them itself.
   */
  start(cores: Cores | undefined, scenario: Scenario, flowMs: number): Promise<Carrier>;
}

/** A contender that runs and is connected to NATS. */
export interface Carrier {
  /** Where clients connect. */
  readonly endpoint: Pick<Endpoint, "port" | "path" | "dialect">;
  /** Where the publisher connects; `undefined` where the contender makes its messages itself. */
  readonly natsPort: number | undefined;
  /** By what they are: always `gateway`, and `nats` where that is another process. */
  readonly pids: Readonly<Record<string, number>> & { readonly gateway: number };
  /** From the start of its process until it could take clients and had NATS. */
  readonly readyMs: number;
  /** The last of what it said, for whoever wonders why it failed. */
  lastWords(): string;
  stop(): Promise<void>;
}

/** What Spillway is configured to beside what it needs. */
export function settingsOf(scenario: Scenario): Readonly<Record<string, unknown>> {
  return (scenario as Partial<Flow>).settings ?? {};
}

/** Whether clients of Spillway speak `spillway.v1.json` in a scenario. */
export function speaksV1(scenario: Scenario): boolean {
  return (scenario as Partial<Flow>).v1 === true;
}

/** The last lines of an output. */
export function lastOf(lines: readonly string[]): string {
  return lines.slice(-8).join("\n");
}
