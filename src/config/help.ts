import { ALIASES, CONFIG_VARIABLE, variableOf } from "./environment.ts";
import { type Flag, flagOf, SHORT_FLAGS } from "./flags.ts";
import { entry, row, wrapped } from "./help-lines.ts";
import { type KeyEntry, keyTable, shownDefault } from "./key-table.ts";

const EXAMPLES = [
  ["spillway", "Carries messages that are posted to /publish/<subject>, without NATS."],
  [
    "spillway --nats nats://localhost:4222 --subject 'orders.>' --port 9000",
    "Carries the subjects below orders from NATS to ws://localhost:9000/ws.",
  ],
  [
    "SPILLWAY_NATS_TOKEN=s3cret spillway --config spillway.json --host 0.0.0.0",
    "Reads a file, and takes a secret from the environment.",
  ],
  [
    "spillway check --config spillway.json",
    "Prints all errors of a configuration, or all its settings, and opens nothing.",
  ],
] as const;

/** A command, as help names it. */
export interface CommandSummary {
  readonly name: string;
  readonly summary: string;
}

/**
 * Returns what `--help` prints: the commands, the flags, the variables and every key, in lines of up to 96 columns.
 *
 * @param flags those that every command takes, and those of the command that runs if none is named.
 */
export function helpText(
  version: string,
  commands: readonly CommandSummary[],
  flags: readonly Flag[],
): string {
  const keys = keyTable();
  const basic = keys.filter((entry) => entry.category === "basic");
  const advanced = keys.filter((entry) => entry.category === "advanced");
  const variables = [
    [variableOf("<key>"), "Sets any key below. If empty, it counts as not set."],
    [CONFIG_VARIABLE, "The file to read, like --config, or its content."],
    ...Object.entries(ALIASES).map(([alias, key]) => [
      alias,
      `Like ${variableOf(key)}, if that is not set.`,
    ]),
  ];
  return `${[
    `Spillway ${version} carries NATS subjects and JetStream streams to WebSocket and SSE clients.`,
    "",
    "Usage: spillway [command] [flags]",
    "",
    "Commands (spillway <command> --help says more about one):",
    ...commands.map(({ name, summary }) => row(name, summary)),
    "",
    ...EXAMPLES.flatMap(([command, about]) => entry(command, about)),
    "",
    "Flags:",
    ...flagRows([...SHORT_FLAGS, ...flags]),
    row("--<key> <value>", "Sets any key below."),
    "",
    "Environment:",
    ...variables.map(([name = "", about = ""]) => row(name, about)),
    "",
    ...wrapped(NOTES),
    "",
    "Basic keys:",
    ...basic.flatMap(keyLines),
    "",
    "Advanced keys:",
    ...advanced.flatMap(keyLines),
  ].join("\n")}\n`;
}

/** Returns a line for each flag. */
export function flagRows(flags: readonly Flag[]): string[] {
  return flags.map(({ name, value, about }) => row(value ? `${name} <${value}>` : name, about));
}

const NOTES = `A key is a flag (--write-timeout 5s), a variable (SPILLWAY_WRITE_TIMEOUT=5s) and a name in the file ("write_timeout": "5s"). Flags override the environment, which overrides the file, which overrides the defaults. A wrong value is refused even if another one overrides it. Lists are separated by commas or written as JSON; the flag of a list may be repeated. Switches need no value (--compression, --no-compression). A size is a number of bytes or has a unit: kB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024. Other users of the machine can read flags: give secrets in the environment or in files.`;

function keyLines(keyEntry: KeyEntry): string[] {
  const { name, value } = flagOf(keyEntry);
  const preset = shownDefault(keyEntry);
  const unless = preset === undefined ? "" : ` Default: ${preset}.`;
  const { description, limits, reloads } = keyEntry;
  const change = reloads ? "" : " A change needs a restart.";
  return entry(`${name} <${value}>`, `${description} Must be ${limits}.${unless}${change}`);
}
