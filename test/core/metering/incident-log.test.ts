import { expect, test } from "bun:test";
import { IncidentLog } from "../../../src/core/metering/incident-log.ts";
import { ManualClock } from "../support/manual-clock.ts";

test("A client that is disconnected is logged with its code, and the command that explains it", () => {
  const lines: (Readonly<Record<string, unknown>> | undefined)[] = [];
  const say = (_: string, properties?: Readonly<Record<string, unknown>>): void => {
    lines.push(properties);
  };
  const log = new IncidentLog({ debug: say, info: say, warn: say, error: say }, new ManualClock());
  log.ended("slow_consumer", "7");
  log.ended("going_away", "8");
  log.ended("client", "9");
  expect(lines).toEqual([
    {
      ...{ event: "client_cut", client: "7", code: 4510, reason: "slow consumer", others: 0 },
      help: "spillway explain 4510",
    },
  ]);
});
