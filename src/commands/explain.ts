import { wrapped } from "../config/help-lines.ts";
import { nearest } from "../config/nearest.ts";
import { EXIT, type Invocation } from "./command.ts";
import { JSON_FLAG } from "./command-flags.ts";
import { type ExplainedCode, explainedCodes } from "./explanations.ts";
import { invalidCommand, readOwnFlags } from "./read-flags.ts";

/** Explains a code of an error or of a close, or lists all of them. */
export async function explainCode({ argv, write }: Invocation): Promise<number> {
  const { texts, words } = readOwnFlags(argv, [JSON_FLAG], 1);
  const [wanted] = words;
  const codes = wanted === undefined ? explainedCodes() : [find(wanted)];
  if (texts.has(JSON_FLAG.name)) {
    write(`${JSON.stringify(wanted === undefined ? codes : codes[0], null, 2)}\n`);
  } else if (wanted === undefined) {
    write(codes.map(({ title }) => `${title}\n`).join(""));
  } else {
    write(codes.map(textOf).join(""));
  }
  return EXIT.done;
}

function find(wanted: string): ExplainedCode {
  const all = explainedCodes();
  const found = all.find(({ code }) => code.toLowerCase() === wanted.toLowerCase());
  if (found !== undefined) return found;
  const near = nearest(
    wanted,
    all.map(({ code }) => code),
  );
  const hint =
    near === undefined ? ". spillway explain lists the codes" : `; did you mean ${near}?`;
  throw invalidCommand(`${JSON.stringify(wanted)} is not a code${hint}`);
}

function textOf({ title, place, explanations }: ExplainedCode): string {
  const blocks = explanations.map(({ reason, why, client, advice }) => [
    ...(reason === undefined ? [] : [`${reason}:`]),
    ...wrapped(why),
    "",
    ...(client === undefined ? [] : [...wrapped(`spillway/client: ${client}`), ""]),
    ...wrapped(`To do: ${advice}`),
    "",
  ]);
  return `${[title, "", ...wrapped(place), "", ...blocks.flat()].join("\n").trimEnd()}\n`;
}
