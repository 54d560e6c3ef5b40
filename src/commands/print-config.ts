import { settingRows } from "../config/describe.ts";
import { EXIT, type Invocation } from "./command.ts";
import { JSON_FLAG } from "./command-flags.ts";
import { readConfig } from "./load-config.ts";
import { dimmer } from "./style.ts";

/** Prints every key with its value and its source, without secrets. Keys that are not set are left out. */
export async function printConfig(invocation: Invocation): Promise<number> {
  const { settings, texts } = await readConfig(invocation, [JSON_FLAG]);
  const set = settings.filter(({ value }) => value !== undefined);
  if (texts.has(JSON_FLAG.name)) {
    const entries = set.map(({ key, value, source, from }) => [
      key,
      { value: JSON.parse(value ?? "null"), source, from },
    ]);
    invocation.write(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
    return EXIT.done;
  }
  const sourced = set.map((setting) => ({
    ...setting,
    from: setting.from === undefined ? setting.source : `${setting.source}: ${setting.from}`,
  }));
  invocation.write(`${settingRows(sourced, dimmer(invocation)).join("\n")}\n`);
  return EXIT.done;
}
