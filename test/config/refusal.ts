import { expect } from "bun:test";
import { loadConfig } from "../../src/config/load.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { SpillwayError } from "../../src/core/ports/errors.ts";

/** The text with which a configuration is refused. */
export function refusalOf(raw: unknown): string {
  try {
    parseConfig(raw);
  } catch (error) {
    return messageOf(error);
  }
  throw new Error(`This was accepted: ${JSON.stringify(raw)}`);
}

/** The text with which a configuration is refused for several reasons. */
export function several(...problems: readonly string[]): string {
  const lines = problems.map((problem) => `\n- ${problem}`).join("");
  return `Cannot use configuration, as ${problems.length} things are wrong:${lines}`;
}

export interface Sources {
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** By path: texts, and values that are written as JSON. */
  readonly files?: Readonly<Record<string, unknown>>;
}

export function load({ argv = [], env = {}, files = {} }: Sources) {
  const readTextFile = async (path: string) => {
    if (!Object.hasOwn(files, path)) throw new Error("no such file");
    const content = files[path];
    return typeof content === "string" ? content : JSON.stringify(content);
  };
  return loadConfig({ argv, env, readTextFile });
}

/** The configuration that is loaded. */
export async function loadedConfig(sources: Sources) {
  return (await load(sources)).config;
}

export async function loadRefusalOf(sources: Sources): Promise<string> {
  return load(sources).then(
    (loaded) => {
      throw new Error(`This was accepted: ${JSON.stringify(loaded)}`);
    },
    (error: unknown) => messageOf(error),
  );
}

function messageOf(error: unknown): string {
  expect(error).toBeInstanceOf(SpillwayError);
  const { code, class: errorClass, message } = error as SpillwayError;
  expect({ code, errorClass }).toEqual({ code: "CONFIG_INVALID", errorClass: "invalid" });
  const [first = "", ...others] = message.split(/[\n\r\u2028\u2029]/);
  if (others.length > 0) {
    expect(first).toMatch(/^Cannot use configuration, as \d+ things are wrong:$/);
    for (const line of others) expect(line).toMatch(/^(?:- |… and \d+ more$)/);
  }
  return message;
}
