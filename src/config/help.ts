import { ALIASES, CONFIG_VARIABLE, variableOf } from "./environment.ts";
import { FLAGS } from "./flags.ts";
import { type KeyEntry, keyTable, shownDefault } from "./key-table.ts";

const WIDTH = 96;

const EXAMPLES = [
  ["spillway", "Carries what is posted to /publish/<subject>, on an in-memory source."],
  [
    "spillway --nats nats://localhost:4222 --subject 'orders.>' --port 9000",
    "Carries the subjects below orders from NATS to ws://127.0.0.1:9000/ws.",
  ],
  [
    "SPILLWAY_NATS_TOKEN=s3cret spillway --config spillway.json --host 0.0.0.0",
    "Reads a file, and takes a secret from the environment.",
  ],
] as const;

/** What `--help` prints: the flags, the variables and every key, no line wider than 96 columns. */
export function helpText(version: string): string {
  const keys = keyTable();
  const basic = keys.filter((entry) => entry.category === "basic");
  const advanced = keys.filter((entry) => entry.category === "advanced");
  const variables = [
    [variableOf("<key>"), "Any key below; lists are parted by commas, and empty is unset."],
    [CONFIG_VARIABLE, "The file to read, like --config."],
    ...Object.entries(ALIASES).map(([alias, key]) => [
      alias,
      `Like ${variableOf(key)}, if that is not set.`,
    ]),
  ];
  return `${[
    `Spillway ${version} carries NATS subjects and JetStream streams to WebSocket and SSE clients.`,
    "",
    "Usage: spillway [flags]",
    "",
    ...EXAMPLES.flatMap(([command, about]) => entry(command, about)),
    "",
    "Flags beat the environment, which beats the file, which beats the defaults.",
    "A wrong value is refused even where a right one beats it.",
    "",
    "Flags:",
    ...FLAGS.map(({ name, value, about }) => row(value ? `${name} <${value}>` : name, about)),
    "",
    "Environment:",
    ...variables.map(([name = "", about = ""]) => row(name, about)),
    "",
    "Keys of a file, with their defaults. Basic:",
    ...basic.flatMap(keyLines),
    "",
    "Advanced:",
    ...advanced.flatMap(keyLines),
  ].join("\n")}\n`;
}

function keyLines(keyEntry: KeyEntry): string[] {
  const { key, description, limits } = keyEntry;
  const preset = shownDefault(keyEntry);
  const title = preset === undefined ? key : `${key} = ${preset}`;
  return entry(title, `${description} Must be ${limits}.`);
}

function row(title: string, about: string): string {
  return `  ${title.padEnd(21)} ${about}`;
}

function entry(title: string, about: string): string[] {
  return [`  ${title}`, ...wrapped(about, WIDTH - 6).map((line) => `      ${line}`)];
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  return [...lines, line];
}
