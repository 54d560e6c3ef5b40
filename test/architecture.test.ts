/** The walls of the house (see CONTRIBUTING.md), kept by machine. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SRC = join(ROOT, "src");

/** What a folder may import from, itself always; a name with a slash is one file. */
const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  text: [],
  core: [],
  config: ["core", "text"],
  streamkit: ["core", "config", "text", "gateway"],
  source: ["core"],
  metrics: ["core"],
  log: ["core"],
  http: ["core", "streamkit", "text", "runtime/sockets.ts"],
  runtime: ["core"],
  gateway: ["core", "config", "streamkit", "source", "metrics", "log", "http", "runtime"],
};

/** What users load: the library and the command. */
const ENTRY_POINTS = ["mod.ts", "server.ts"];

/** Where each package may be imported: a folder, or one file. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "@hono/node-server": ["runtime/node.ts"],
  "@hono/zod-validator": ["http"],
  "@humanwhocodes/momoa": ["config"],
  "@logtape/logtape": ["log"],
  bun: ["runtime/bun.ts"],
  hono: ["http", "runtime", "gateway"],
  nats: ["source/connect.ts"],
  "nats.ws": ["source/connect.ts"],
  "prom-client": ["metrics"],
  ws: ["runtime/node.ts", "runtime/ws.ts"],
  zod: ["config", "http"],
};

const RUNTIMES = ["runtime/bun.ts", "runtime/deno.ts", "runtime/node.ts"];
const EMPTY_NAMES = ["utils", "util", "helpers", "common", "types", "index", "misc"];

interface Import {
  /** The importing file, in `src/`. */
  readonly from: string;
  /** A file in `src/`, or a package as it was written. */
  readonly to: string;
  readonly dynamic: boolean;
}

const files = sourceFiles(SRC);
const imports = files.flatMap(importsOf);

describe("Imports", () => {
  test("Every folder has a row in the table", () => {
    const folders = new Set(files.map(folderOf).filter((folder) => folder !== ""));
    expect([...folders].filter((folder) => !(folder in FOLDERS))).toEqual([]);
  });

  for (const [folder, allowed] of Object.entries(FOLDERS)) {
    const others = allowed.length === 0 ? "" : ` and ${allowed.join(", ")}`;
    test(`${folder}/ imports itself${others}, and no other folder`, () => {
      const wrong = imports.filter(
        ({ from, to }) =>
          folderOf(from) === folder && isOurs(to) && !isWithin(to, [folder, ...allowed]),
      );
      expect(wrong.map(show)).toEqual([]);
    });
  }

  test("Only the entry points stand outside of the folders", () => {
    const outside = files.filter((file) => folderOf(file) === "");
    expect(outside.filter((file) => !ENTRY_POINTS.includes(file))).toEqual([]);
  });

  test("Each package is imported in its own place only", () => {
    const wrong = imports.filter(
      ({ from, to }) => isPackage(to) && !isWithin(from, PACKAGES[packageOf(to)] ?? []),
    );
    expect(wrong.map(show)).toEqual([]);
  });

  test("Each dependency is used", () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    const used = new Set(imports.map(({ to }) => packageOf(to)));
    expect(Object.keys(manifest.dependencies).filter((name) => !used.has(name))).toEqual([]);
  });

  test("No runtime adapter is loaded on another runtime", () => {
    const wrong = imports.filter(
      ({ from, to, dynamic }) => RUNTIMES.includes(to) && (RUNTIMES.includes(from) || !dynamic),
    );
    expect(wrong.map(show)).toEqual([]);
  });
});

describe("Files", () => {
  test("Each file is named for what it knows", () => {
    const everywhere = ["src", "test", "bench", "scripts", "examples"]
      .flatMap((folder) => sourceFiles(join(ROOT, folder)).map((file) => join(folder, file)))
      .filter((file) => EMPTY_NAMES.includes(basename(file).split(".")[0]!));
    expect(everywhere).toEqual([]);
  });

  test("Nothing writes to the console", () => {
    const wrong = files.filter((file) => /\bconsole\s*[.[]/.test(codeOf(file)));
    expect(wrong).toEqual([]);
  });

  test("The NATS client gets callbacks from one place only, which guards them", () => {
    const sources = files.filter((file) => folderOf(file) === "source");
    const calls = sources.filter((file) => /\bcallback:/.test(codeOf(file)));
    expect(calls).toEqual(["source/listen.ts"]);
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

/** All TypeScript files of a folder, by their paths in it. */
function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
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

function importsOf(from: string): Import[] {
  const code = read(from)
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .replaceAll(/^\s*\/\/.*$/gm, "");
  const statics = code.matchAll(/^(?:import\s*|(?:import|export)\b[^;"=(`]*?\bfrom\s*)"([^"]+)"/gm);
  const dynamics = code.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g);
  const make = (specifier: string, dynamic: boolean): Import => ({
    from,
    to: specifier.startsWith(".") ? join(dirname(from), specifier) : specifier,
    dynamic,
  });
  return [
    ...Array.from(statics, ([, specifier]) => make(specifier!, false)),
    ...Array.from(dynamics, ([, specifier]) => make(specifier!, true)),
  ];
}

function isOurs(to: string): boolean {
  return to.endsWith(".ts");
}

/** Whether it is a package of npm: what begins with `node:` comes with every runtime. */
function isPackage(to: string): boolean {
  return !isOurs(to) && !to.startsWith("node:");
}

function packageOf(to: string): string {
  return to
    .split("/")
    .slice(0, to.startsWith("@") ? 2 : 1)
    .join("/");
}

/** The first folder of a path; empty for a file of `src/` itself. */
function folderOf(file: string): string {
  return file.includes("/") ? file.split("/")[0]! : "";
}

function isWithin(file: string, places: readonly string[]): boolean {
  return places.some((place) => file === place || file.startsWith(`${place}/`));
}

function show({ from, to }: Import): string {
  return `${from} imports ${to}`;
}
