import { OperatorTokens, readOperatorTokens } from "../access/operator-tokens.ts";
import { FileFault, type FileReader } from "../access/watched-file.ts";
import type { Config } from "../config/config.ts";
import { configError, type Problem } from "../config/problem.ts";
import type { Clock } from "../core/ports/clock.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { isLoopback } from "../http/host.ts";
import type { Listener, ListenOptions, Runtime } from "../runtime/runtime.ts";

type AdminConfig = Pick<Config, "adminHost" | "adminPort" | "adminTokensFile">;

interface AdminListenerParts {
  readonly runtime: Pick<Runtime, "listen">;
  /** Reads a file, again when it changes. */
  readonly file: (path: string) => FileReader;
  readonly clock: Clock;
  readonly log: Log;
  /** @param operators `undefined`: nobody needs a token. */
  makeFetch(operators: OperatorTokens | undefined): ListenOptions["fetch"];
}

/** The listener for operators; it does nothing if none is configured. */
export class AdminListener {
  readonly #config: AdminConfig;
  readonly #parts: AdminListenerParts;
  #operators: OperatorTokens | undefined;
  #listener: Listener | undefined;

  /** @throws SpillwayError `"CONFIG_INVALID"` (invalid) if it would be open to others than this machine. */
  constructor(config: AdminConfig, parts: AdminListenerParts) {
    const problem = openAdminProblem(config);
    if (problem !== undefined) throw configError([problem]);
    this.#config = config;
    this.#parts = parts;
  }

  /** Where it listens; `undefined` while it doesn't. */
  get listener(): Listener | undefined {
    return this.#listener;
  }

  /**
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if the file of tokens can't be used, `"LISTEN_FAILED"` (transient)
   * if the address can't be used.
   */
  async start(tls?: Pick<ListenOptions, "tls" | "nameRefused">): Promise<void> {
    const { adminHost: host, adminPort, adminTokensFile } = this.#config;
    if (adminPort === undefined) return;
    const { runtime, makeFetch } = this.#parts;
    if (adminTokensFile !== undefined) {
      this.#operators = await openTokens(adminTokensFile, this.#parts);
    }
    const fetch = makeFetch(this.#operators);
    this.#listener = await runtime.listen({ ...tls, host, port: adminPort, fetch });
  }

  /** May be called twice. */
  async stop(): Promise<void> {
    this.#operators?.stop();
    this.#operators = undefined;
    await this.#listener?.stop();
    this.#listener = undefined;
  }
}

/** Returns the problems of the listener for operators: a missing lock, and a file that can't be used. */
export async function adminProblems(
  config: AdminConfig,
  readTextFile: (path: string) => Promise<string>,
): Promise<Problem[]> {
  const open = openAdminProblem(config);
  const problems = open === undefined ? [] : [open];
  const path = config.adminTokensFile;
  if (path === undefined) return problems;
  try {
    readOperatorTokens(await readTextFile(path).catch(unreadable));
  } catch (error) {
    if (!(error instanceof FileFault)) throw error;
    problems.push(fileProblem(path, error));
  }
  return problems;
}

async function openTokens(
  path: string,
  { file, clock, log }: Pick<AdminListenerParts, "file" | "clock" | "log">,
): Promise<OperatorTokens> {
  try {
    return await OperatorTokens.open({ file: file(path), clock, log });
  } catch (error) {
    if (!(error instanceof FileFault)) throw error;
    throw configError([fileProblem(path, error)]);
  }
}

function unreadable(error: unknown): never {
  throw new FileFault(`can't be read: ${reasonOf(error)}`);
}

function fileProblem(path: string, fault: FileFault): Problem {
  const key = "admin_tokens_file";
  const text = `"${key}" is ${JSON.stringify(path)}, which ${fault.message}`;
  return { key, text, cause: fault };
}

function openAdminProblem(config: AdminConfig): Problem | undefined {
  const { adminHost, adminPort, adminTokensFile } = config;
  if (adminPort === undefined || adminTokensFile !== undefined || isLoopback(adminHost)) {
    return undefined;
  }
  const text = `"admin_host" is ${JSON.stringify(adminHost)} but must be a loopback address without "admin_tokens_file"`;
  return { key: "admin_host", text };
}
