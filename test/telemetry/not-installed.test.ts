import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startProcess } from "../support/child-process.ts";
import { within } from "../support/event-log.ts";
import { cleanEnvironment } from "../support/gateway-process.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

/** The sources, with all packages but those of OpenTelemetry. */
const folder = mkdtempSync(join(tmpdir(), "spillway-bare-"));
for (const name of ["src", "package.json", "deno.json"]) {
  cpSync(join(ROOT, name), join(folder, name), { recursive: true });
}
mkdirSync(join(folder, "node_modules"));
for (const name of readdirSync(join(ROOT, "node_modules"))) {
  if (name === "@opentelemetry") continue;
  symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
}
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(target: (typeof TARGETS)["bun"], env: Record<string, string>) {
  const command = [...target.command(), "--port", "0"];
  const options = { cwd: folder, env: { ...cleanEnvironment(), ...target.env, ...env } };
  return await startProcess(target.name, command, options);
}

test("Deno's own OpenTelemetry without the API: the log says that nothing is recorded", async () => {
  const running = await run(TARGETS.deno, { OTEL_DENO: "true" });
  const said = async (event: string) =>
    await running.lines.find(({ text }) => text.includes(`"${event}"`), `line with ${event}`);
  await said("tracing_off");
  await said("listening");
  expect(await running.stop()).toMatchObject({ code: 0 });
});

describe.each([[TARGETS.bun], [TARGETS.deno], [TARGETS.node]])(
  "Without the packages of OpenTelemetry on $name",
  (target) => {
    test("a variable that asks for telemetry is an error that says what to install", async () => {
      const { lines, exited } = await run(target, {
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318",
      });
      expect(await within(exited, () => "end of the process")).toMatchObject({ code: 1 });
      const said = lines.entries.map(({ text }) => text).join("\n");
      expect(said).toStartWith(
        "Cannot send telemetry, which OTEL_EXPORTER_OTLP_ENDPOINT asks for: ",
      );
      expect(said).toContain("npm install @opentelemetry/api @opentelemetry/resources@3");
      expect(said).toContain("or unset OTEL_EXPORTER_OTLP_ENDPOINT");
    });

    test("the gateway starts if nothing asks for it", async () => {
      const running = await run(target, { OTEL_SERVICE_NAME: "unused" });
      await running.lines.find(({ text }) => text.includes('"listening"'), "line that it listens");
      expect(await running.stop()).toMatchObject({ code: 0 });
    });
  },
);
