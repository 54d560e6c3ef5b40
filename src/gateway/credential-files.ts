import type { Authenticator } from "../access/authenticator.ts";
import { type IssuerOptions, JwtAuthenticator } from "../access/jwt.ts";
import { Passwords } from "../access/passwords.ts";
import { StaticTokens } from "../access/static-tokens.ts";
import { FileFault, type FileReader } from "../access/watched-files.ts";
import type { Config } from "../config/config.ts";
import { fileProblem, type Problem } from "../config/problem.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";

interface CredentialFileParts {
  /** Reads a file, again when it changes. */
  readonly file: (path: string) => FileReader;
  readonly clock: Clock;
  readonly log: Log;
  /** The authenticator of issuers that this one replaces. Default: it is the first one. */
  readonly before?: JwtAuthenticator | undefined;
}

/** What files know of clients, and what is wrong with the files. */
interface FileAuthenticators {
  readonly tokens: Authenticator | undefined;
  readonly passwords: Authenticator | undefined;
  readonly issuers: Authenticator | undefined;
  readonly problems: readonly Problem[];
}

/** Opens the files of tokens, users and keys that a configuration names. */
export async function openCredentialFiles(
  config: Config,
  { file, clock, log, before }: CredentialFileParts,
): Promise<FileAuthenticators> {
  const problems: Problem[] = [];
  const { tokensFile, passwordsFile, clockToleranceMs } = config;
  const open = async (
    key: string,
    path: string | undefined,
    opened: (path: string) => Promise<Authenticator>,
  ): Promise<Authenticator | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await opened(path);
    } catch (fault) {
      if (!(fault instanceof FileFault)) throw fault;
      problems.push(fileProblem(key, path, fault));
      return undefined;
    }
  };
  const parts = { clock, log };
  const tokens = await open("tokens_file", tokensFile, (path) =>
    StaticTokens.open({ file: file(path), ...parts }),
  );
  const passwords = await open("passwords_file", passwordsFile, (path) =>
    Passwords.open({ file: file(path), ...parts }),
  );
  return {
    ...{ tokens, passwords, problems },
    issuers: await openIssuers(config, file, problems, (all) =>
      JwtAuthenticator.open({ issuers: all, clockToleranceMs, ...parts }, before),
    ),
  };
}

async function openIssuers(
  { issuers = [], maxTokenAgeMs: longestMs }: Config,
  file: CredentialFileParts["file"],
  problems: Problem[],
  open: (issuers: readonly IssuerOptions[]) => Promise<JwtAuthenticator>,
): Promise<Authenticator | undefined> {
  if (issuers.length === 0) return undefined;
  const options = issuers.map((issuer): IssuerOptions => {
    const { jwksUrl, keysFile, maxTokenAgeMs = longestMs, ...others } = issuer;
    const keys = keysFile === undefined ? { url: String(jwksUrl) } : { file: file(keysFile) };
    return { ...others, keys, maxTokenAgeMs };
  });
  try {
    return await open(options);
  } catch (fault) {
    const isOfFile = fault instanceof FileFault;
    if (!isOfFile && !(fault instanceof RangeError)) throw fault;
    const text = isOfFile
      ? `"issuers" has the keys_file ${JSON.stringify(fault.file)}, which ${fault.message}`
      : `"issuers": ${fault.message}`;
    problems.push({ key: "issuers", text });
    return undefined;
  }
}

/** Returns the problems of the files of tokens, users and keys that a configuration names. */
export async function credentialFileProblems(
  config: Config,
  clock: Clock,
  readText: (path: string) => Promise<string>,
): Promise<readonly Problem[]> {
  const nothing = (): void => {};
  const log: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  const file = (path: string): FileReader => ({
    name: path,
    read: () => readText(path),
    watch: () => nothing,
  });
  // Keys at URLs are fetched when the gateway runs.
  const { problems } = await openCredentialFiles(config, { file, clock, log });
  return problems;
}
