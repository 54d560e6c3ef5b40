import { describe, expect, test } from "bun:test";
import { RUNTIMES, runProgram } from "../support/host-program.ts";

const ENDED = { closedInCall: false, written: "refused" };

const EXPECTED = [
  ["/ws: requests of open connections are kept", false],
  ["/ws: peer has gone", ENDED],
  ["/ws: peer that did not read has gone", ENDED],
  ["/ws: peer closes", ENDED],
  ["/ws: we close", "refused"],
  ["/ws: we have closed", ENDED],
  ["/sse: peer has gone", ENDED],
  ["/sse: peer that did not read has gone", ENDED],
  ["/sse: we close", "refused"],
  ["/sse: we have closed", ENDED],
  ["/unanswered: peer has gone", "known"],
];

describe.each(RUNTIMES)("Sockets on %s", (name) => {
  const choices = name === "bun" || name === "deno" ? ["native", "node"] : ["node"];
  test.each(choices)(
    "%s ones never tell their end while they are written to, and keep no requests",
    async (sockets) => {
      const environment = { PROGRAM_SOCKETS: sockets };
      expect(await runProgram(name, "test/runtime/sockets-program.ts", environment)).toEqual(
        EXPECTED,
      );
    },
  );
});
