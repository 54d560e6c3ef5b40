import { nearest } from "../config/nearest.ts";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import { expectRuntime } from "../gateway/process-facts.ts";
import { VERSION } from "../gateway/version.ts";
import { type Command, EXIT, type Host } from "./command.ts";
import { COMMANDS, SERVE } from "./commands.ts";
import { commandHelp, generalHelp } from "./help.ts";
import { invalidCommand } from "./read-flags.ts";

/** A command line with its command. */
interface Choice {
  /** `undefined`: none is named, so that the gateway runs. */
  readonly named: Command | undefined;
  /** The words behind the name. */
  readonly argv: readonly string[];
}

/**
 * Runs the command that a command line names. Errors are written for the user.
 *
 * @param words the command line, without the names of the runtime and the script.
 * @returns the exit code.
 */
export async function runCommand(words: readonly string[], host: Host): Promise<number> {
  let command = SERVE;
  try {
    expectRuntime();
    const { named, argv } = choose(words);
    command = named ?? SERVE;
    const asked = argv.find((word) => ANSWERS.includes(word));
    if (asked === "--version") host.write(`${VERSION}\n`);
    else if (asked !== undefined)
      host.write(named === undefined ? generalHelp() : commandHelp(named));
    else return await command.run({ ...host, argv });
    return EXIT.done;
  } catch (error) {
    // Our own errors say what can't be done.
    const isOurs = error instanceof SpillwayError;
    const action = command === SERVE ? "Cannot start: " : "The command failed: ";
    host.writeError(`${isOurs ? "" : action}${reasonOf(error)}\n`);
    // Each line about a configuration says the rule itself.
    if (isOurs && error.code !== "CONFIG_INVALID") {
      host.writeError(`More: spillway explain ${error.code}\n`);
    }
    return EXIT.failed;
  }
}

/** Words of other programs, and the flags for them here. */
const FLAG_OF: Readonly<Record<string, string>> = { help: "--help", version: "--version" };

/** Flags that are answered whatever else is given. */
const ANSWERS = ["--help", "-h", "--version"];

/** @throws SpillwayError `"COMMAND_INVALID"` (invalid) if there is no such command. */
function choose(words: readonly string[]): Choice {
  const [first = "", second = ""] = words;
  const find = (name: string): Command | undefined => COMMANDS.find((one) => one.name === name);
  // A flag, a file or a URL is no name of a command.
  if (!/^[a-z][a-z-]*$/i.test(first)) {
    const late = words.find((word, at) => !words[at - 1]?.startsWith("-") && find(word));
    if (late === undefined) return { named: undefined, argv: words };
    throw invalidCommand(`"${late}" is a command, which comes first: spillway ${late} [flags]`);
  }
  const [one, two] = [find(first), find(`${first} ${second}`)];
  if (one !== undefined) return { named: one, argv: words.slice(1) };
  if (two !== undefined) return { named: two, argv: words.slice(2) };
  const below = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
  const asksHelp = second === "" || ANSWERS.includes(second);
  const typed = below.length > 0 && !asksHelp ? `${first} ${second}` : first;
  const near =
    FLAG_OF[typed] ??
    nearest(
      typed,
      COMMANDS.map(({ name }) => name),
    );
  const hint =
    below.length > 0 && asksHelp
      ? `: it is ${below.map(({ name }) => `"${name}"`).join(" or ")}`
      : near === undefined
        ? ". spillway --help lists the commands"
        : `; did you mean "${near}"?`;
  throw invalidCommand(`${JSON.stringify(typed)} is not a command${hint}`);
}
