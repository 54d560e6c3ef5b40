import { expect } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ensureChromium } from "../../scripts/install-chromium.ts";
import { findNatsServer, findOldestNatsServer } from "../../scripts/install-nats-server.ts";
import { installedFile, ROOT } from "../../scripts/installed.ts";
import { type OutputLine, type RunningProcess, startProcess } from "../support/child-process.ts";
import { within } from "../support/event-log.ts";
import { ensureNode } from "../support/node-binary.ts";
import { findDeno } from "../support/runtimes.ts";
import { connect } from "../support/subscriber.ts";
import { type LocalRegistry, startRegistry } from "./registry.ts";

/** Longer than any install takes on a slow line; an install that hangs ends here. */
export const INSTALL_DEADLINE_MS = 300_000;

/** The machine of a newcomer: one runtime and its package manager, `git`, a shell, and nothing else. */
export interface Environment {
  readonly name: string;
  /** A new folder of this environment. */
  folder(name: string): string;
  /** A new clone of the repository, as it is in the working tree. */
  clone(name: string): string;
  /** Runs a command to its end and returns its output. Fails the test if the exit code is not 0. */
  run(cwd: string, command: string): Promise<string>;
  /** Runs a command to its end, whatever its exit code. */
  tryRun(cwd: string, command: string): Promise<Ended>;
  /**
   * Starts a command. Stop it.
   *
   * @param group whether signals go to all that it starts as well; `npx` does not pass them on.
   */
  start(cwd: string, command: string, group?: boolean): Promise<RunningProcess>;
  /** Starts a command that runs the service, and returns once it has served a message. Stop it. */
  serve(cwd: string, command: string, group?: boolean): Promise<RunningProcess>;
}

export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** What every system has: a shell, and what git and the browser's start script call. */
const TOOLS = ["sh", "env", "git", "basename", "dirname", "sed", "uname"];

/** Folders and programs that all environments of a test run share. */
export class Machines {
  readonly #directory = mkdtempSync(join(tmpdir(), "spillway-install-"));
  readonly #origin = join(this.#directory, "origin");
  readonly #environments = new Map<string, Environment>();
  #extra: Readonly<Record<string, string>> = {};

  /** Where `git clone` gets the repository from. */
  get originUrl(): string {
    return `file://${this.#origin}`;
  }

  /** Makes the repository that is cloned: all files that git knows, or would know, as one commit. */
  async create(): Promise<void> {
    const files = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard");
    for (const file of new Set(files.split("\0"))) {
      // A file that was deleted and not yet committed is still listed.
      if (file === "" || statSync(join(ROOT, file), { throwIfNoEntry: false }) === undefined)
        continue;
      mkdirSync(dirname(join(this.#origin, file)), { recursive: true });
      cpSync(join(ROOT, file), join(this.#origin, file));
    }
    git(this.#origin, "init", "--quiet");
    git(this.#origin, "add", "--all");
    const author = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
    git(this.#origin, ...author, "commit", "--quiet", "--message=test");

    const oldest = findOldestNatsServer();
    const chromium = await ensureChromium();
    this.#extra = {
      ...reachingRegistry(join(this.#directory, "cache")),
      ...(oldest !== undefined && { NATS_SERVER_OLDEST: oldest }),
      ...(chromium !== undefined && { CHROMIUM: chromium }),
    };
  }

  /** The environment of that name, made when it is first needed. */
  on(name: keyof typeof PROGRAMS): Environment {
    const environment = this.#environments.get(name) ?? this.#make(name, PROGRAMS[name]());
    this.#environments.set(name, environment);
    return environment;
  }

  /** @param programs what is on the PATH beside the shell and what tests need: paths by name. */
  #make(name: string, programs: Readonly<Record<string, string>>): Environment {
    const base = join(this.#directory, name.replaceAll(" ", "-"));
    const bin = join(base, "bin");
    const home = join(base, "home");
    const temporary = join(base, "tmp");
    for (const folder of [bin, home, temporary]) mkdirSync(folder, { recursive: true });
    const onPath = {
      ...Object.fromEntries(TOOLS.map((tool) => [tool, Bun.which(tool)!])),
      "nats-server": findNatsServer(),
      ...programs,
    };
    for (const [tool, path] of Object.entries(onPath)) symlinkSync(path, join(bin, tool));
    // Nothing of the environment of this process.
    const env = { HOME: home, PATH: bin, TMPDIR: temporary, ...this.#extra };
    const origin = this.originUrl;
    const folder = (made: string): string => {
      mkdirSync(join(base, made));
      return join(base, made);
    };

    const start: Environment["start"] = (cwd, command, group = false) =>
      startProcess(`${name}: ${command}`, ["/bin/sh", "-c", `exec ${command}`], {
        cwd,
        env,
        group,
      });

    return {
      name,
      folder,
      clone(made) {
        git(base, "clone", "--quiet", origin, made);
        return join(base, made);
      },
      async run(cwd, command) {
        const { code, output } = await runToEnd(cwd, command, env);
        if (code !== 0) throw new Error(`${name}: ${command}: exit code ${code}\n${output}`);
        return output;
      },
      tryRun: (cwd, command) => runToEnd(cwd, command, env),
      start,
      async serve(cwd, command, group) {
        const started = await start(cwd, command, group);
        await served(started);
        return started;
      },
    };
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** The programs of each environment, by name. */
export const PROGRAMS = {
  "Node 20": () => node(ensureNode("node20")),
  "Node 22": () => node(ensureNode("node22")),
  "the newest Node": () => node(ensureNode("node")),
  "only Bun": () => ({ bun: process.execPath, bunx: process.execPath }),
  "only Deno": () => ({ deno: findDeno() }),
} as const;

/** The tarball of the package, and a registry that has it. */
export interface Packed {
  readonly tarball: string;
  readonly registry: LocalRegistry;
  /** A command that asks this registry. */
  fromRegistry(command: string): string;
}

/** Packs a new clone, as it would be published. */
export async function pack(machine: Environment): Promise<Packed> {
  const clone = machine.clone("packed");
  await machine.run(clone, "npm install --ignore-scripts");
  await machine.run(clone, "npm pack");
  const manifest = JSON.parse(readFileSync(join(clone, "package.json"), "utf8"));
  const tarball = join(clone, readdirSync(clone).find((file) => file.endsWith(".tgz"))!);
  const registry = await startRegistry(manifest, tarball, upstream());
  return {
    tarball,
    registry,
    fromRegistry: (command) => `env NPM_CONFIG_REGISTRY=${registry.url} ${command}`,
  };
}

/** The registry that this machine uses. */
function upstream(): string {
  const args = [installedFile("npm/bin/npm-cli.js"), "config", "get", "registry"];
  return spawnSync(ensureNode("node22"), args, { encoding: "utf8" }).stdout.trim();
}

/** Returns how much disk a folder takes, in bytes. Does not follow links. */
export function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true })
    .map((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? sizeOf(path) : lstatSync(path).size;
    })
    .reduce((sum, size) => sum + size, 0);
}

function node(program: string): Record<string, string> {
  return {
    node: program,
    npm: installedFile("npm/bin/npm-cli.js"),
    npx: installedFile("npm/bin/npx-cli.js"),
  };
}

/** What takes it to reach a registry from this machine, and where downloads are kept. */
function reachingRegistry(cache: string): Record<string, string> {
  const env: Record<string, string> = {
    // Downloads are the same for all; npm says in its scripts where it keeps them.
    npm_config_cache: process.env.npm_config_cache ?? join(cache, "npm"),
    BUN_INSTALL_CACHE_DIR: join(cache, "bun"),
    DENO_TLS_CA_STORE: "system",
    // What npm asks the registry beside the packages.
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_update_notifier: "false",
  };
  const names = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NPM_CONFIG_REGISTRY"];
  for (const name of names.flatMap((name) => [name, name.toLowerCase()])) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  const certificates = process.env.NODE_EXTRA_CA_CERTS ?? process.env.SSL_CERT_FILE;
  if (certificates !== undefined) env.NODE_EXTRA_CA_CERTS = certificates;
  return env;
}

async function runToEnd(
  cwd: string,
  command: string,
  env: Readonly<Record<string, string>>,
): Promise<Ended> {
  const child = spawn("/bin/sh", ["-c", command], {
    cwd,
    env: { ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data: Buffer) => {
      output += data;
    });
  }
  const { promise: closed, resolve } = Promise.withResolvers<number | null>();
  child.once("close", resolve);
  try {
    const what = () => `end of ${command}; so far:\n${output}`;
    return { code: await within(closed, what, INSTALL_DEADLINE_MS), output };
  } finally {
    // A command that took too long is the leader of its group.
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }
}

/** Waits until the service listens, and until a message that is published reaches a client. */
async function served({ lines }: RunningProcess): Promise<void> {
  const isListening = ({ text }: OutputLine): boolean => text.includes('"event":"listening"');
  const { text } = await lines.find(isListening, "listening", INSTALL_DEADLINE_MS);
  const { stream, url } = (JSON.parse(text) as { properties: { stream: string; url: string } })
    .properties;
  const subscriber = await connect(stream);
  const published = await fetch(`${url}/publish/orders.1`, { method: "POST", body: '{"n":1}' });
  expect(published.status).toBe(202);
  expect(await subscriber.next()).toMatchObject({ subject: "orders.1", payload: { n: 1 } });
  subscriber.close();
}

function git(cwd: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync("git", args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`git ${args.join(" ")}: exit code ${status}: ${stderr}`);
  return stdout;
}
