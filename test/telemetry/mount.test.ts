import { describe, expect, test } from "bun:test";
import { RUNTIMES, runProgram } from "../support/host-program.ts";

describe.each(RUNTIMES)("OpenTelemetry of a host on %s", (name) => {
  test("gets the spans of a mounted gateway", async () => {
    expect(await runProgram(name, "test/telemetry/mount-program.ts")).toEqual([
      ["posted", 202],
      [
        "spans",
        [
          "GET /ws/sse < undefined",
          "POST /publish/:subject < b7ad6b7169203331",
          "deliver < publish",
          "deliver < publish",
          "publish < POST /publish/:subject",
          "publish < undefined",
        ],
      ],
    ]);
  });
});
