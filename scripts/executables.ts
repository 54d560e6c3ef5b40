/**
 * `npm run executables` makes single files of the gateway that need no runtime on the machine, in `executables/`:
 * `spillway` by Bun, and `spillway-deno` by Deno. `npm run executables -- bun` makes one of them.
 *
 * The runtime in them is the one that the tests run on. Deno downloads a smaller one of its own version for them;
 * `DENORT_BIN` names it where nothing can be downloaded.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { findDeno, installedFile, ROOT } from "./installed.ts";

const OUTPUT = `${ROOT}executables`;
const PROGRAM = `${ROOT}src/server.ts`;

const PLUGINS: Bun.BunPlugin[] = [
  {
    name: "the package ws",
    // Its path depends on the runtime, so the bundler can't follow it.
    setup(build) {
      build.onLoad({ filter: /[\\/]src[\\/]runtime[\\/]ws\.ts$/ }, () => ({
        loader: "ts",
        contents: `export { WebSocket, WebSocketServer } from ${JSON.stringify(installedFile("ws/wrapper.mjs"))};`,
      }));
    },
  },
];

/**
 * Makes one file of the gateway and the Bun that runs this.
 *
 * @throws AggregateError if it can't be bundled.
 */
export async function makeBunExecutable(file: string): Promise<void> {
  await Bun.build({
    // Split, so that each command loads its own code only.
    ...{ entrypoints: [PROGRAM], plugins: PLUGINS, minify: true, splitting: true },
    // The folder that it is started in is the user's: no settings for Bun are read there.
    compile: { outfile: file, autoloadDotenv: false, autoloadBunfig: false },
  });
}

/**
 * Makes one file of the gateway and Deno's runtime. It may do what `deno task start` may.
 *
 * @throws Error with what Deno says if that fails.
 */
export async function makeDenoExecutable(file: string): Promise<void> {
  const bundle = await makeBundle(dirname(file));
  const permissions = startPermissions();
  const args = ["compile", "--no-check", "--no-config", ...permissions, "--output", file, bundle];
  const { status, stderr, error } = spawnSync(findDeno(), args, {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "inherit", "pipe"],
  });
  rmSync(bundle);
  if (status === 0) return;
  const [reason = ""] = stderr.split("\n\nStack backtrace");
  throw new Error(`deno compile: ${error?.message ?? reason.trim()}`);
}

/**
 * Makes one JavaScript file of the gateway and its packages, for Deno and Node.
 *
 * @returns its path.
 */
export async function makeBundle(folder: string): Promise<string> {
  await Bun.build({
    ...{ entrypoints: [PROGRAM], plugins: PLUGINS, target: "node", format: "esm" },
    ...{ outdir: folder, naming: "spillway.mjs" },
  });
  return join(folder, "spillway.mjs");
}

/** The permissions that `deno task start` gives. */
export function startPermissions(): string[] {
  const { tasks } = JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8")) as {
    tasks: { start: string };
  };
  return tasks.start.split(" ").filter((word) => word.startsWith("--allow-"));
}

const MAKERS = { bun: makeBunExecutable, deno: makeDenoExecutable };

if (import.meta.main) {
  const names = process.argv.slice(2);
  for (const name of names.length === 0 ? Object.keys(MAKERS) : names) {
    if (!(name in MAKERS)) throw new Error(`"${name}" must be "bun" or "deno"`);
    mkdirSync(OUTPUT, { recursive: true });
    const file = join(OUTPUT, name === "bun" ? "spillway" : `spillway-${name}`);
    await MAKERS[name as keyof typeof MAKERS](file);
    process.stdout.write(`${basename(file)}: ${(statSync(file).size / 1e6).toFixed(1)} MB\n`);
  }
}
