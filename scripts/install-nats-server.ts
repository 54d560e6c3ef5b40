import { spawnSync } from "node:child_process";
import { accessSync, constants, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const CACHE = fileURLToPath(new URL("../.cache/bin", import.meta.url));
/** The oldest that we work with; Debian 12 has it. */
const OLDEST = "v2.9.25";
const OLDEST_CACHE = fileURLToPath(new URL(`../.cache/bin-${OLDEST}`, import.meta.url));
const ADVICE =
  "install it (https://docs.nats.io/running-a-nats-service/introduction/installation) so that it " +
  "is on the PATH, or set NATS_SERVER to the path of its binary";

/**
 * Where `nats-server` is: `NATS_SERVER`, else the first one on the `PATH`, else the one that
 * {@linkcode ensureNatsServer} installed.
 *
 * @throws Error that says what to do where there is none.
 */
export function findNatsServer(): string {
  const path = locateNatsServer();
  if (path === undefined) throw new Error(`Cannot find nats-server: ${ADVICE}`);
  return path;
}

/**
 * Where `nats-server` is, after it was installed if it was missing: by Go into `.cache/bin`, else
 * by apt-get (as root, or with a `sudo` that asks for no password), else by Homebrew.
 *
 * @throws Error that says what was tried and what to do, where none of them could.
 */
export async function ensureNatsServer(): Promise<string> {
  const present = locateNatsServer();
  if (present !== undefined) return present;
  const tried: string[] = [];
  for (const [name, install] of Object.entries(INSTALLERS)) {
    const outcome = install();
    if (outcome === "installed") {
      const path = locateNatsServer();
      if (path !== undefined) return path;
    }
    tried.push(`${name}: ${outcome === "installed" ? "installed, but not to be found" : outcome}`);
  }
  throw new Error(`Cannot install nats-server (${tried.join("; ")}): ${ADVICE}`);
}

/** Where the oldest `nats-server` that we work with is: `NATS_SERVER_OLDEST`, else the one that was installed for tests. */
export function findOldestNatsServer(): string | undefined {
  const named = process.env.NATS_SERVER_OLDEST;
  return [named || join(OLDEST_CACHE, "nats-server")].find(isExecutable);
}

/** Installs it, where Go is there to do it; tests that want it are left out elsewhere. */
export function ensureOldestNatsServer(): void {
  const go = locateGo();
  if (findOldestNatsServer() === undefined && go !== undefined) {
    installWithGo(go, OLDEST, OLDEST_CACHE);
  }
}

/** What became of an attempt: `"installed"`, or why not. */
type Outcome = string;

const INSTALLERS: Readonly<Record<string, () => Outcome>> = {
  go: () => {
    const go = locateGo();
    return go === undefined ? "not on this machine" : installWithGo(go, "latest", CACHE);
  },
  "apt-get": installWithApt,
  brew: installWithBrew,
};

/** Where Go is, `undefined` where there is none. */
export function locateGo(): string | undefined {
  return locate("go", ["/usr/local/go/bin"]);
}

function installWithGo(go: string, version: string, folder: string): Outcome {
  mkdirSync(folder, { recursive: true });
  return run([go, "install", `github.com/nats-io/nats-server/v2@${version}`], { GOBIN: folder });
}

function installWithApt(): Outcome {
  const apt = locate("apt-get");
  if (apt === undefined) return "not on this machine";
  const sudo = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  if (sudo.length > 0 && run(["sudo", "-n", "true"]) !== "installed") {
    return "needs root, or sudo without a password";
  }
  const install = [...sudo, apt, "install", "-y", "nats-server"];
  const quiet = { DEBIAN_FRONTEND: "noninteractive" };
  // A fresh image has no package lists, and then the first attempt finds nothing.
  if (run(install, quiet) === "installed") return "installed";
  run([...sudo, apt, "update"], quiet);
  return run(install, quiet);
}

function installWithBrew(): Outcome {
  const brew = locate("brew", ["/opt/homebrew/bin", "/usr/local/bin"]);
  return brew === undefined ? "not on this machine" : run([brew, "install", "nats-server"]);
}

function run(command: readonly string[], env: Record<string, string> = {}): Outcome {
  const [file = "", ...args] = command;
  const ended = spawnSync(file, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (ended.error !== undefined) return ended.error.message;
  return ended.status === 0 ? "installed" : `exit code ${ended.status}`;
}

function locateNatsServer(): string | undefined {
  const named = process.env.NATS_SERVER;
  if (named === undefined || named === "") {
    // Debian installs into a folder that is not on every user's PATH.
    return locate("nats-server", [CACHE, "/usr/sbin", "/opt/homebrew/bin"]);
  }
  if (isExecutable(named)) return named;
  throw new Error(`Cannot use nats-server at NATS_SERVER=${named}: it is not an executable file`);
}

/** The first executable of that name on the `PATH`, or else in one of `more`. */
function locate(name: string, more: readonly string[] = []): string | undefined {
  return [...(process.env.PATH ?? "").split(delimiter), ...more]
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
