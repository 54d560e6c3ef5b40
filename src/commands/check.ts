import { checkReport } from "../config/describe.ts";
import { ConfigError } from "../config/problem.ts";
import { SpillwayError } from "../core/ports/errors.ts";
import { type NatsAttempt, tryNats } from "../gateway/try-nats.ts";
import { checkTelemetry } from "../telemetry/otlp.ts";
import { readCheckedConfig } from "./checked-config.ts";
import { EXIT, type Invocation } from "./command.ts";
import { CHECK_FLAGS, JSON_FLAG } from "./command-flags.ts";
import { dimmer } from "./style.ts";

/** Checks the configuration, and opens nothing unless asked to connect. */
export async function checkConfig(invocation: Invocation): Promise<number> {
  const { argv, write, writeError } = invocation;
  if (argv.includes(JSON_FLAG.name)) return await checkForPrograms(invocation);
  const loaded = await readCheckedConfig(invocation, CHECK_FLAGS);
  await checkTelemetry(invocation.env);
  write(checkReport(loaded, dimmer(invocation)));
  if (!loaded.texts.has("--connect")) return EXIT.done;
  const attempts = await tryNats(loaded.config);
  if (attempts.length === 0) write("\nNo NATS is configured, so there is nothing to connect to.\n");
  for (const { name, reached, fault, missing = [] } of attempts) {
    if (fault === undefined) write(`\n${name} is connected to ${reached}.\n`);
    else writeError(`\n${name} is not connected: ${fault}\n`);
    for (const stream of missing) writeError(`${name} can't read ${stream}\n`);
  }
  return attempts.every(isUsable) ? EXIT.done : EXIT.failed;
}

/** Prints one JSON object: `valid`, and `problems` or `notices`; `connections` if NATS was asked. */
async function checkForPrograms(invocation: Invocation): Promise<number> {
  const print = (result: object): void => invocation.write(`${JSON.stringify(result, null, 2)}\n`);
  try {
    const { config, notices, texts } = await readCheckedConfig(invocation, CHECK_FLAGS);
    await checkTelemetry(invocation.env);
    const connections = texts.has("--connect") ? await tryNats(config) : undefined;
    print({ valid: true, notices, connections });
    return connections?.every(isUsable) === false ? EXIT.failed : EXIT.done;
  } catch (error) {
    const problems = problemsOf(error);
    if (problems === undefined) throw error;
    print({ valid: false, problems });
    return EXIT.failed;
  }
}

function problemsOf(error: unknown): readonly object[] | undefined {
  if (error instanceof ConfigError) {
    return error.problems.map(({ key, from, text }) => ({ key, from, text }));
  }
  const isOurs = error instanceof SpillwayError && error.code === "TELEMETRY_INVALID";
  return isOurs ? [{ from: "the environment", text: error.message }] : undefined;
}

/** Whether the gateway would find at NATS all that it needs. */
function isUsable({ fault, missing }: NatsAttempt): boolean {
  return fault === undefined && missing === undefined;
}
