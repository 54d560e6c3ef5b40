import { flagRows, helpText } from "../config/describe.ts";
import { wrapped } from "../config/help-lines.ts";
import { VERSION } from "../gateway/version.ts";
import type { Command } from "./command.ts";
import { COMMANDS, SERVE } from "./commands.ts";
import { GENERAL_FLAGS } from "./read-flags.ts";

/** Returns what `spillway --help` prints. */
export function generalHelp(): string {
  return helpText(VERSION, COMMANDS, [...SERVE.flags, ...GENERAL_FLAGS]);
}

/** Returns what `--help` of a command prints. */
export function commandHelp(command: Command): string {
  const { name, about, words, flags, readsConfig, examples } = command;
  return `${[
    ...wrapped(about),
    "",
    `Usage: spillway ${name} ${words === undefined ? "" : `${words} `}[flags]`,
    "",
    ...examples.map((example) => `  ${example}`),
    "",
    "Flags:",
    ...flagRows([...flags, ...GENERAL_FLAGS]),
    ...(readsConfig
      ? [
          "",
          ...wrapped(
            "It also takes all flags and variables of the configuration: spillway --help lists them.",
          ),
        ]
      : []),
  ].join("\n")}\n`;
}
