/** `npm run docs`: writes what the README derives from the schema. A test holds the README to it. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { markdownTable } from "../src/config/describe.ts";

export const README: string = fileURLToPath(new URL("../README.md", import.meta.url));

const KEYS = /(<!-- keys: [^>]*-->\n)[\s\S]*?(<!-- \/keys -->)/;

/** The README with the table of keys as the schema has it. */
export function withKeys(readme: string): string {
  if (!KEYS.test(readme)) throw new Error("README.md has no place for the table of keys");
  return readme.replace(
    KEYS,
    (_, begin: string, end: string) => `${begin}\n${markdownTable()}\n${end}`,
  );
}

if (import.meta.main) writeFileSync(README, withKeys(readFileSync(README, "utf8")));
