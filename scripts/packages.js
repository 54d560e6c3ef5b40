// Installs what only tests and benchmarks need: the runtimes among them. Plain JavaScript, as the machine
// may have any Node from 20 on, only Bun, or only Deno.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The package that holds Bun's program, for each platform that tests run on. */
const BUN_PACKAGES = /** @type {const} */ ({
  "linux-x64": "@oven/bun-linux-x64",
  "linux-arm64": "@oven/bun-linux-aarch64",
  "darwin-x64": "@oven/bun-darwin-x64",
  "darwin-arm64": "@oven/bun-darwin-aarch64",
});

/**
 * Installs the packages of a folder with a `package.json` of its own, in the versions that its lockfile says.
 * Does nothing if they are installed already.
 *
 * @param {string} folder for example `test`
 * @throws {Error} when the package manager fails; it has printed the reason.
 */
export function installPackages(folder) {
  const directory = join(ROOT, folder);
  const lock = readFileSync(join(directory, "package-lock.json"), "utf8");
  const installedLock = join(directory, "node_modules/.installed-lock.json");
  if (existsSync(installedLock) && readFileSync(installedLock, "utf8") === lock) return;
  process.stderr.write(`Installing the packages of ${folder}/ …\n`);
  installLocked(directory);
  writeFileSync(installedLock, lock);
}

/**
 * Returns the path of Bun in the version that tests run on: the one in `test/node_modules`, else one in
 * `.cache`, which this fetches first if need be.
 *
 * @throws {Error} when there is no such Bun for this platform, or it can't be fetched.
 */
export function ensureBun() {
  const platform = `${process.platform}-${process.arch}`;
  if (!(platform in BUN_PACKAGES)) throw new Error(`Cannot install Bun: none for ${platform}`);
  const name = BUN_PACKAGES[/** @type {keyof typeof BUN_PACKAGES} */ (platform)];
  const program = `node_modules/${name}/bin/bun`;
  if (existsSync(join(ROOT, "test", program))) return join(ROOT, "test", program);

  const entry = lockEntry(`node_modules/${name}`);
  const directory = join(ROOT, `.cache/bun-${entry.version}`);
  if (!existsSync(join(directory, program))) {
    process.stderr.write(`Fetching Bun ${entry.version} …\n`);
    mkdirSync(directory, { recursive: true });
    const root = { dependencies: { [name]: entry.version } };
    write("package.json", { private: true, ...root });
    // Only npm and Bun read it; Deno takes the exact version.
    write("package-lock.json", {
      lockfileVersion: 3,
      packages: { "": root, [`node_modules/${name}`]: { ...entry, optional: undefined } },
    });
    write("deno.json", { nodeModulesDir: "auto" });
    installLocked(directory);
  }
  return join(directory, program);

  /** @type {(file: string, content: object) => void} */
  function write(file, content) {
    writeFileSync(join(directory, file), `${JSON.stringify(content, null, 2)}\n`);
  }
}

/**
 * @param {string} path
 * @returns {{ version: string, integrity: string }}
 */
function lockEntry(path) {
  return JSON.parse(readFileSync(join(ROOT, "test/package-lock.json"), "utf8")).packages[path];
}

/**
 * Runs a program in the place of this one: its output, its signals and its exit code are passed on.
 *
 * @param {string} file
 * @param {readonly string[]} args
 */
export function runInstead(file, args) {
  const child = spawn(file, args, { stdio: "inherit" });
  for (const signal of /** @type {const} */ (["SIGTERM", "SIGINT", "SIGHUP"])) {
    process.on(signal, () => child.kill(signal));
  }
  child.once("error", (error) => {
    process.stderr.write(`Cannot run ${file}: ${error.message}\n`);
    process.exit(1);
  });
  child.once("exit", (code) => process.exit(code ?? 1));
}

/**
 * Installs from the lockfile with the package manager of this runtime. No package needs a script.
 *
 * @param {string} directory
 */
function installLocked(directory) {
  const [file, ...args] = installCommand(directory);
  const { error, status } = spawnSync(/** @type {string} */ (file), args, {
    cwd: directory,
    // npm would otherwise install what the outer `npm` was told to.
    env: { ...process.env, NODE_ENV: "development", npm_config_omit: "" },
    shell: file === "npm" && process.platform === "win32",
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (status !== 0) {
    const reason = error?.message ?? `exit code ${status}`;
    throw new Error(
      `Cannot install the packages of ${directory} (${[file, ...args].join(" ")}: ${reason})`,
    );
  }
}

/**
 * @param {string} directory
 * @returns {readonly string[]}
 */
function installCommand(directory) {
  const bun = ["install", "--frozen-lockfile", "--ignore-scripts"];
  if ("Bun" in globalThis) return [process.execPath, ...bun];
  if ("Deno" in globalThis) {
    // Deno's own install leaves optional packages out, and with them the runtimes.
    return directory.startsWith(join(ROOT, ".cache"))
      ? [process.execPath, "install"]
      : [ensureBun(), ...bun];
  }
  const npm = process.env.npm_execpath?.endsWith("npm-cli.js")
    ? [process.execPath, process.env.npm_execpath]
    : ["npm"];
  return [...npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
}
