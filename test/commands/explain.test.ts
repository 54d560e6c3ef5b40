import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SpillwayError as ClientError } from "../../src/client/errors.ts";
import { explainedCodes } from "../../src/commands/explanations.ts";
import { SpillwayError } from "../../src/core/ports/errors.ts";
import { run } from "./host.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe("spillway explain", () => {
  test.each(explainedCodes())(
    "$code is explained, in lines of at most 96 columns",
    async ({ code, title, explanations }) => {
      const { output, ...rest } = await run(["explain", code.toLowerCase()]);
      expect(rest).toEqual({ code: 0, error: "" });
      expect(output).toStartWith(`${title}\n\n`);
      const words = output.replaceAll(/\s+/g, " ");
      for (const { why, advice } of explanations) {
        expect(words).toContain(why);
        expect(words).toContain(`To do: ${advice}`);
      }
      for (const line of output.split("\n")) expect(line.length).toBeLessThanOrEqual(96);
    },
  );

  test("says each reason of a code that has several, and what the client does", async () => {
    const { output } = await run(["explain", "4401"]);
    expect(output).toStartWith("4401 (no valid token; token revoked)\n");
    expect(output).toContain("\ntoken revoked:\nThe operator has revoked");
    expect(output).toContain("\nspillway/client: It doesn't connect again.");
  });

  test.each(["no_responders", "timeout", "too_large", "too_many_requests", "unauthenticated"])(
    "says nothing of subscriptions about %s, which refuses none",
    async (code) => {
      const { output } = await run(["explain", code]);
      expect(output).toContain("spillway/client: ");
      expect(output).not.toContain("subscription");
    },
  );

  test("prints JSON for programs, one code or all", async () => {
    const one = JSON.parse((await run(["explain", "4510", "--json"])).output);
    expect(one).toMatchObject({ code: "4510", kind: "close", explanations: [{}] });
    const all = JSON.parse((await run(["explain", "--json"])).output);
    expect(all.map(({ code }: { code: string }) => code)).toContain("LISTEN_FAILED");
    expect((await run(["explain"])).output).toContain("\n4510 (slow consumer)\n");
  });

  test.each([
    [["explain", "forbiden"], '"forbiden" is not a code; did you mean forbidden?'],
    [["explain", "xyzzy"], '"xyzzy" is not a code. spillway explain lists the codes'],
    [
      ["explain", "4510", "4513"],
      'Cannot use the command line: "4513" is not a flag, which begins with "--"',
    ],
  ])("%j is refused with 1", async (argv, error) => {
    const run1 = await run(argv);
    expect(run1).toMatchObject({ code: 1, output: "" });
    expect(run1.error).toStartWith(`${error}\n`);
  });
});

test("help of an error is a page of the package", () => {
  for (const { help } of [new SpillwayError("ABORTED", ""), new ClientError("refused", "")]) {
    expect(help).toStartWith("node_modules/spillway/docs/errors/");
    expect(existsSync(ROOT + help.slice("node_modules/spillway/".length))).toBe(true);
  }
});
