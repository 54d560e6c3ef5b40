import { OperatorTokens, readOperatorTokens } from "../access/operator-tokens.ts";
import { FileFault, type FileReader } from "../access/watched-files.ts";
import type { Config } from "../config/config.ts";
import { configError, fileProblem, type Problem, ruleProblem } from "../config/problem.ts";
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
  #config: AdminConfig;
  readonly #parts: AdminListenerParts;
  #operators: OperatorTokens | undefined;
  #listener: Listener | undefined;
  #fetch: ListenOptions["fetch"] | undefined;

  /** @throws SpillwayError `"CONFIG_INVALID"` (invalid) if it would be open to others than this machine. */
  constructor(config: AdminConfig, parts: AdminListenerParts) {
    const problem = openAdminProblem(config);
    if (problem !== undefined) throw configError([problem]);
    this.#config = { ...config };
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
  async start(
    shared?: Pick<ListenOptions, "tls" | "certificateRefused" | "sharesPort">,
  ): Promise<void> {
    const { adminHost: host, adminPort, adminTokensFile } = this.#config;
    if (adminPort === undefined) return;
    const { runtime, makeFetch } = this.#parts;
    if (adminTokensFile !== undefined) {
      this.#operators = await openTokens(adminTokensFile, this.#parts);
      this.#operators.start();
    }
    this.#fetch = makeFetch(this.#operators);
    const fetch: ListenOptions["fetch"] = (request, env) => this.#fetch!(request, env);
    this.#listener = await runtime.listen({ ...shared, host, port: adminPort, fetch });
  }

  /**
   * Reads what another configuration names, and changes nothing yet.
   *
   * @returns a function that makes the change.
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if it would be open to others than this machine, or the file of
   * tokens can't be used.
   */
  async prepare(config: AdminConfig): Promise<() => void> {
    const problem = openAdminProblem(config);
    if (problem !== undefined) throw configError([problem]);
    const { adminTokensFile } = config;
    const isSame = adminTokensFile === this.#config.adminTokensFile;
    const operators =
      isSame || adminTokensFile === undefined || this.#listener === undefined
        ? undefined
        : await openTokens(adminTokensFile, this.#parts);
    return () => {
      // The address stays: another one needs a restart.
      this.#config = { ...this.#config, adminTokensFile };
      if (!isSame) {
        this.#operators?.stop();
        this.#operators = operators;
        operators?.start();
      }
      if (this.#listener !== undefined) this.#fetch = this.#parts.makeFetch(this.#operators);
    };
  }

  /** May be called twice. */
  async stop(): Promise<void> {
    this.#operators?.stop();
    this.#operators = undefined;
    const listener = this.#listener;
    this.#listener = undefined;
    await listener?.stop();
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
    problems.push(fileProblem("admin_tokens_file", path, error));
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
    throw configError([fileProblem("admin_tokens_file", path, error)]);
  }
}

function unreadable(error: unknown): never {
  throw new FileFault(`can't be read: ${reasonOf(error)}`);
}

function openAdminProblem(config: AdminConfig): Problem | undefined {
  const { adminHost, adminPort, adminTokensFile } = config;
  if (adminPort === undefined || adminTokensFile !== undefined || isLoopback(adminHost)) {
    return undefined;
  }
  return ruleProblem("admin_host", adminHost, 'be a loopback address without "admin_tokens_file"');
}
