import { expect, test } from "bun:test";
import { RUNTIMES, runProgram } from "../support/host-program.ts";

test.each(RUNTIMES)(
  "A client on %s that can't open its connection doesn't wait for a welcome until it tries again",
  async (name) => {
    const told = await runProgram(name, "test/client/refused-program.ts");
    const message = expect.not.stringContaining("welcome");
    expect(told).toEqual([
      ["503", message],
      ["nobody listens", message],
    ]);
  },
);
