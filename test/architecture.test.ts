/** The walls of the house (see CONTRIBUTING.md), kept by machine. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cruise, type ICruiseResult } from "dependency-cruiser";
import { CORE_ROOMS, DEPENDENCY_RULES, FOLDERS } from "./dependency-rules.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SRC = join(ROOT, "src");

/** What users load: the library and the command. */
const ENTRY_POINTS = [
  ...["bun.ts", "cloudflare.ts", "deno-serve.ts", "deno.ts", "mod.ts", "node.ts"],
  "server.ts",
];
const EMPTY_NAMES = ["utils", "util", "helpers", "common", "types", "index", "misc"];

const files = sourceFiles(SRC);

describe("Imports", () => {
  test("follow the rules in dependency-rules.ts", async () => {
    const { forbidden, options } = DEPENDENCY_RULES;
    const { output } = await cruise(["src", "test", "bench"], {
      ...options,
      ruleSet: { forbidden: forbidden ?? [] },
      validate: true,
      baseDir: ROOT,
    });
    const { totalCruised, violations } = (output as ICruiseResult).summary;
    expect(totalCruised).toBeGreaterThan(files.length);
    const lines = violations.map(({ rule, from, to }) => `${from} -> ${to}: ${rule.name}`);
    expect(lines).toEqual([]);
  }, 60_000);
});

describe("Files", () => {
  test("Each folder has its row in the rules, and only entry points stand outside of folders", () => {
    const folders = files.map((file) => (file.includes("/") ? file.split("/")[0]! : file));
    const known = [...Object.keys(FOLDERS), ...ENTRY_POINTS];
    expect(folders.filter((folder) => !known.includes(folder))).toEqual([]);
  });

  test("Each file is named for what it knows", () => {
    const everywhere = ["src", "test", "bench", "scripts", "examples"]
      .flatMap((folder) => sourceFiles(join(ROOT, folder)).map((file) => join(folder, file)))
      .filter((file) => EMPTY_NAMES.includes(basename(file).split(".")[0]!));
    expect(everywhere).toEqual([]);
  });

  test("The NATS client gets callbacks from one place only, which guards them", () => {
    const sources = files.filter((file) => folderOf(file) === "source");
    const calls = sources.filter((file) => /\bcallback:/.test(codeOf(file)));
    expect(calls).toEqual(["source/safe-subscribe.ts"]);
    // Its own requests, and its headers, throw where a message breaks the rules.
    const throwing = sources.filter((file) => /\.request\(|msg\.headers\b/.test(codeOf(file)));
    expect(throwing).toEqual([]);
  });

  test("Module scope holds constants, functions and classes; only server.ts acts", () => {
    // The formatter indents all but what stands at module scope.
    const declaration =
      /^(import|export|const|function|async function|class|abstract class|interface|type|declare)\b/;
    const wrong = files
      .filter((file) => file !== "server.ts")
      .flatMap((file) =>
        codeOf(file)
          .split("\n")
          .filter((line) => /^[A-Za-z_$(+!"'[]/.test(line) && !declaration.test(line))
          .map((line) => `${file}: ${line}`),
      );
    expect(wrong).toEqual([]);
  });
});

describe("docs/architecture.md", () => {
  const page = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");

  test("has a row for each folder of src/ and each room of the core, and no others", () => {
    const rows = Array.from(
      page.matchAll(/^\| \[[^\]]+\]\(\.\.\/(src\/[^)]+)\)/gm),
      ([, folder]) => folder,
    );
    const rooms = CORE_ROOMS.map((room) => `src/core/${room}`);
    const folders = Object.keys(FOLDERS).map((folder) => `src/${folder}`);
    expect([...new Set(rows)].sort()).toEqual([...folders, ...rooms].sort());
  });

  test("names files and symbols that exist, on each of the five ways", () => {
    const ways = page.split(/^### /m).filter((section) => STEP.test(section));
    expect(ways.length).toBe(5);
    const steps = [...page.matchAll(new RegExp(STEP, "gm"))];
    const missing = steps.filter(([, file = "", symbol = ""]) => !defines(file, symbol));
    expect(missing.map(([step]) => step)).toEqual([]);
  });
});

/** A step of a way: its number, its file, and the class, method or function that takes it. */
const STEP = /^\d+\. `(src\/[^`]+)` `([^`]+)`:/m;

/** Whether a file defines a function or class, or a class with a method (`Class.method`). */
function defines(file: string, symbol: string): boolean {
  const code = readFileSync(join(ROOT, file), "utf8");
  const [name = "", member] = symbol.split(".");
  const declared = new RegExp(`\\b(class|function|interface|const) ${name}\\b`).test(code);
  return (
    declared &&
    (member === undefined || new RegExp(`^ +(async |get |readonly )*${member}\\b`, "m").test(code))
  );
}

/** All TypeScript files of a folder, by their paths in it. */
function sourceFiles(folder: string): string[] {
  // Follows no links: an example may have the whole repository among its packages.
  return [...new Bun.Glob("**/*.ts").scanSync(folder)]
    .filter((file) => !file.includes("node_modules"))
    .sort();
}

function read(file: string): string {
  return readFileSync(join(SRC, file), "utf8");
}

/** A file without its comments and template literals. */
function codeOf(file: string): string {
  return read(file)
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .replaceAll(/^\s*\/\/.*$/gm, "")
    .replaceAll(/`(?:\\[\s\S]|[^`\\])*`/g, "``");
}

/** The first folder of a path; empty for a file of `src/` itself. */
function folderOf(file: string): string {
  return file.includes("/") ? file.split("/")[0]! : "";
}
