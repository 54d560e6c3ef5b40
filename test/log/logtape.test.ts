import { afterEach, describe, expect, test } from "bun:test";
import { reset } from "@logtape/logtape";
import { configureLog, libraryAuditLog } from "../../src/log/logtape.ts";

afterEach(() => reset());

async function logged(format: "json" | "pretty", value: string, hasColors = true): Promise<string> {
  let text = "";
  const write = (line: string): void => {
    text += line;
  };
  const log = configureLog({ level: "info", format, hasColors, write });
  log.info("Refused {what} of {other}", { what: value, other: 5 });
  return text;
}

describe("What a client said is logged", () => {
  test.each(["json", "pretty"] as const)("as %s on one line, whatever is in it", async (format) => {
    const evil = "x\r\n2026 ERR forged\u001b[31m\u0000\u2028\u202e\u0085\u200b";
    const text = await logged(format, evil);
    expect(text.trimEnd().split(/[\r\n\u2028\u2029\u0085]/)).toHaveLength(1);
    expect(text).toContain("forged");
    expect(text).toContain(" of 5");
    for (const hidden of ["\u001b[31m", "\u0000", "\u202e", "\u200b"]) {
      const said = format === "json" ? (JSON.parse(text).message as string) : text;
      expect(said).not.toContain(hidden);
    }
  });

  test.each(["json", "pretty"] as const)("as %s, and not all of it", async (format) => {
    expect((await logged(format, "y".repeat(1_000_000))).length).toBeLessThan(5000);
  });

  test("with other characters as they are", async () => {
    expect(await logged("json", "straße.日本.🚀")).toContain("straße.日本.🚀");
  });
});

test("The log for people has colours only if it may have them", async () => {
  expect(await logged("pretty", "a")).toContain("\u001b[");
  await reset();
  expect(await logged("pretty", "a", false)).not.toContain("\u001b[");
});

test("The audit log is written whole, and once, whatever the level is", async () => {
  let text = "";
  const write = (line: string): void => {
    text += line;
  };
  const log = configureLog({ level: "error", format: "json", hasColors: false, write });
  log.info("A line of the log");
  libraryAuditLog().info("A line of the audit log", { audit: true });
  expect(
    text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).logger),
  ).toEqual(["spillway.audit"]);
});
