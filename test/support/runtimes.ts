import { readFileSync } from "node:fs";
import { findDeno, installedFile, ROOT } from "../../scripts/installed.ts";
import { ensureNode } from "./node-binary.ts";

export { findDeno, ROOT };

/**
 * What a runtime cannot do, known by its reason. The suite asserts that it still cannot, so that
 * we notice when it learns.
 *
 * - `refusalBody`: the body of a refused handshake does not reach the client.
 * - `ownPings`: pings come when the runtime wants, not every `ping_interval`, and a silent client
 *   is closed with 1001 instead of 4513.
 * - `marks`: what a client has taken is not known; a client lags only by what is unsent.
 * - `protocolErrorCodes`: after a protocol error the connection is dropped without a close frame.
 * - `unmaskedFrames`: an unmasked frame is taken, where RFC 6455 §5.1 says to close.
 * - `compression`: permessage-deflate is never agreed on.
 * - `closes`: the connection of an answer with `Connection: close` stays, and serves on.
 * - `resets`: the descriptor of a handshake that is reset before its answer may stay. Asserted one way
 *   only, as most are noticed in time.
 * - `farewell`: when the gateway is stopped, clients are not told so before their connections end, and nothing is waited for.
 * - `longHeads`: a request's head may have any length.
 * - `adminPort`: there is no port for operators.
 * - `upgradeHeader`: an answer has no header `Upgrade`, whatever the gateway says.
 * - `stalledEnd`: an event stream whose reader doesn't read, and is gone then, stays until `write_timeout`.
 * - `silent`: a connection on which no request comes stays.
 * - `unfinished`: a connection on which only a part of a request's head comes stays.
 * - `unreadClose`: a client that is cut may find its connection dropped before it has read what
 *   lay before the close. Only now and then, so that it can be asserted one way only.
 * - `descriptors`: how many file descriptors are open is not known.
 * - `garbage`: what is no longer needed may take half as much memory as all that waits. Asserted one
 *   way only too, as it comes and goes.
 */
export type Gap =
  | "refusalBody"
  | "ownPings"
  | "marks"
  | "protocolErrorCodes"
  | "unmaskedFrames"
  | "compression"
  | "closes"
  | "resets"
  | "farewell"
  | "longHeads"
  | "adminPort"
  | "upgradeHeader"
  | "stalledEnd"
  | "silent"
  | "unfinished"
  | "unreadClose"
  | "descriptors"
  | "garbage";

/** One way to run the service. */
export interface Target {
  readonly name:
    | "bun"
    | "bun-native"
    | "deno"
    | "deno-native"
    | "deno-serve"
    | "node22"
    | "node"
    | "node-dist"
    | "workerd";
  readonly runtime: "bun" | "deno" | "node" | "workerd";
  readonly gaps: Readonly<Partial<Record<Gap, string>>>;
  /** What its environment says beside what a test says. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether it has no command line and no files: its environment says all. Default: no. */
  readonly isEdge?: boolean;
  /**
   * The command that starts the service, in the folder of the repository; arguments go behind it.
   *
   * @param port where it listens if it has no command line: `"0"` is any free one.
   */
  command(port?: string): readonly string[];
}

/** The package that holds workerd's program, for each platform. */
const WORKERD_PACKAGES: Readonly<Record<string, string>> = {
  "linux-x64": "workerd-linux-64",
  "linux-arm64": "workerd-linux-arm64",
  "darwin-x64": "workerd-darwin-64",
  "darwin-arm64": "workerd-darwin-arm64",
};

/**
 * Returns the path of workerd in the version that `test/package.json` says.
 *
 * @throws Error when it is not installed, or there is none for this platform.
 */
export function findWorkerd(): string {
  const name = WORKERD_PACKAGES[`${process.platform}-${process.arch}`];
  return installedFile(`@cloudflare/${name}/bin/workerd`);
}

/** Node keeps there what it has compiled: a process starts twice as fast from the second time on. */
const NODE_ENV = { NODE_COMPILE_CACHE: `${ROOT}.cache/node-compile` };

const NODE_GAPS = {
  refusalBody: "@hono/node-server writes the status and headers of a refused upgrade only",
};

const DENO_GAPS = {
  descriptors: "Deno opens nothing below /proc without --allow-all",
};

const DENO_NATIVE_GAPS = {
  ...DENO_GAPS,
  ownPings: "Deno's WebSocket has no ping of ours, only its own idleTimeout in seconds",
  marks: "Deno's WebSocket sends no pings of ours, and tells nothing of pongs",
  protocolErrorCodes: "Deno drops the TCP connection when it cannot read a frame",
  compression: "Deno's WebSocket knows no permessage-deflate on the server's side",
  unmaskedFrames: "Deno reads unmasked frames like masked ones",
  resets: "Deno never closes an upgraded connection whose client was gone before the answer",
  silent: "Deno bounds neither the time of a request nor the number of connections",
  unfinished: "Deno bounds neither the time of a request nor the number of connections",
  closes: "Deno leaves it to the client to close, whatever the answer's headers say",
  garbage: "memory is up to 1.3 times what waits for clients, and varies",
};

const BUN_GAPS = {
  garbage: "Bun may collect it only when there is as much of it as of what is alive",
};

export const TARGETS: Readonly<Record<Target["name"], Target>> = {
  bun: {
    name: "bun",
    runtime: "bun",
    // Clients connect to Node's sockets there, as on Deno.
    gaps: { ...NODE_GAPS, ...BUN_GAPS },
    env: {},
    command: () => [process.execPath, "run", "src/server.ts"],
  },
  "bun-native": {
    name: "bun-native",
    runtime: "bun",
    gaps: {
      ...BUN_GAPS,
      unfinished: "idleTimeout of Bun.serve does not count the time of a request's head",
      unreadClose: "Bun drops a connection some seconds after it has closed it, read or not",
    },
    env: { SPILLWAY_SOCKETS: "native" },
    command: () => [process.execPath, "run", "src/server.ts"],
  },
  deno: {
    name: "deno",
    runtime: "deno",
    gaps: { ...NODE_GAPS, ...DENO_GAPS },
    env: {},
    // The very command of `deno task start`, so that the permissions are those that users get, but
    // without the parent: a test that has to kill it must not kill the parent alone.
    command: () => [findDeno(), ...denoStartArguments()],
  },
  "deno-native": {
    name: "deno-native",
    runtime: "deno",
    gaps: DENO_NATIVE_GAPS,
    env: { SPILLWAY_SOCKETS: "native" },
    command: () => [findDeno(), ...denoStartArguments()],
  },
  "deno-serve": {
    name: "deno-serve",
    runtime: "deno",
    isEdge: true,
    gaps: {
      ...DENO_NATIVE_GAPS,
      farewell: "deno serve itself closes all sockets with 1001, as soon as a signal comes",
    },
    env: {},
    command: (port = "0") => [
      findDeno(),
      ...["serve", "--no-prompt", "--allow-net", "--allow-env"],
      ...["--host", "127.0.0.1", "--port", port, "src/deno-serve.ts"],
    ],
  },
  node22: {
    name: "node22",
    runtime: "node",
    gaps: NODE_GAPS,
    env: NODE_ENV,
    command: () => [ensureNode("node22"), "src/server.ts"],
  },
  node: {
    name: "node",
    runtime: "node",
    gaps: NODE_GAPS,
    env: NODE_ENV,
    command: () => [ensureNode("node"), "src/server.ts"],
  },
  "node-dist": {
    name: "node-dist",
    runtime: "node",
    gaps: NODE_GAPS,
    env: NODE_ENV,
    command: () => [ensureNode("node"), "dist/server.js"],
  },
  workerd: {
    name: "workerd",
    runtime: "workerd",
    isEdge: true,
    gaps: {
      ownPings: "Workers send no pings, and don't end the connection of a silent client",
      marks: "Workers send no pings, and tell nothing of pongs",
      farewell: "Cloudflare ends a Durable Object without telling it",
      adminPort: "a Worker can't listen on a port",
      upgradeHeader: "workerd writes headers about the connection itself",
      stalledEnd: "workerd cancels no stream that waits for its reader",
      longHeads: "workerd bounds no head; in front of it, Cloudflare refuses more than 128 kB",
    },
    env: {},
    command: (port = "0") => [process.execPath, "run", "test/support/workerd-program.ts", port],
  },
};

/** A target of Deno, with more permissions or other flags. */
export function allowing(target: Target, ...flags: string[]): Target {
  return {
    ...target,
    command() {
      const [program, run, ...others] = target.command();
      return [program!, run!, ...flags, ...others];
    },
  };
}

/** Returns the target with a program that its processes load before their own, and with more flags. */
export function preloading(target: Target, program: string, ...flags: string[]): Target {
  if (target.runtime !== "node") return allowing(target, `--preload=${program}`, ...flags);
  return {
    ...target,
    command() {
      const [node, ...others] = target.command();
      return [node!, "--import", program, ...flags, ...others];
    },
  };
}

function denoStartArguments(): string[] {
  const { tasks } = JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8")) as {
    tasks: { start: string };
  };
  const program = "deno ";
  if (!tasks.start.startsWith(program)) {
    throw new Error(`deno.json: "start" does not run deno: ${tasks.start}`);
  }
  return tasks.start.slice(program.length).split(" ");
}
