import type { Config, NatsLogin } from "../config/config.ts";
import { configError, type Problem, ruleProblem } from "../config/problem.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { uselessSecret } from "../source/connect.ts";
import type { NatsOptions, NatsSecretFiles, NatsSecrets } from "../source/connect-options.ts";

/** The keys that name files, and the rule for their contents. */
const CONTENT_RULES = {
  natsPasswordFile: "hold a password: a single line",
  natsTokenFile: "hold a token: a single line",
  natsNkeyFile: 'hold the seed of a user\'s NKey, which begins with "SU"',
  natsCredsFile: "hold credentials: a user's JWT and its seed",
  natsTlsCaFile: "hold certificates (PEM)",
  natsTlsCertFile: "hold a certificate (PEM)",
  natsTlsKeyFile: "hold a private key (PEM)",
} as const;

type FileKey = keyof typeof CONTENT_RULES;

const FILE_KEYS = Object.keys(CONTENT_RULES) as FileKey[];
const FILE_OF_SECRET = { nkeySeed: "natsNkeyFile", creds: "natsCredsFile" } as const;

const CERTIFICATE = /-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/;
const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** One connection to NATS: the one of `nats_url`, or an account's. */
export interface NatsTarget extends NatsLogin {
  /** Its name in NATS' monitoring. */
  readonly name: string;
  readonly natsUrls: readonly string[];
  /** The place of its keys in the configuration: `"accounts[0]."`. Default: `""`. */
  readonly at?: string;
}

/** Returns the connection of each account, by its name. Without a `nats_url`, its servers are those of the gateway. */
export function accountTargets(config: Config): Map<string, NatsTarget> {
  const { name, natsUrls, natsTlsCaFile, accounts } = config;
  return new Map(
    accounts.map((account, index) => {
      const own = account.natsUrls ?? [];
      const servers =
        own.length > 0
          ? { natsUrls: own }
          : { natsUrls, natsTlsCaFile: account.natsTlsCaFile ?? natsTlsCaFile };
      return [account.name, { ...account, ...servers, name, at: `accounts[${index}].` }];
    }),
  );
}

/** The contents of the files that a configuration names. */
interface Contents {
  readonly password: string | undefined;
  readonly token: string | undefined;
  readonly nkeySeed: string | undefined;
  readonly creds: string | undefined;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/**
 * Returns the options of a connection to NATS, with the contents of the files that the configuration names. Opens no
 * connection.
 *
 * @param readNow reads a file again at each connect. Without it, the contents stay.
 * @throws SpillwayError `"CONFIG_INVALID"` if a file can't be read, or holds something else.
 */
export async function readNatsOptions(
  config: NatsTarget,
  dialWebSocket: Runtime["dialWebSocket"],
  readTextFile: (path: string) => Promise<string>,
  readNow?: (path: string) => string,
): Promise<NatsOptions> {
  const { contents, problems } = await readFiles(config, readTextFile);
  if (problems.length > 0) throw configError(problems);
  const namesFiles = FILE_KEYS.some((field) => config[field] !== undefined);
  return {
    servers: config.natsUrls,
    name: config.name,
    user: config.natsUser,
    ...secretsOf(config, contents),
    ...(readNow !== undefined && namesFiles && { files: secretFiles(config, readNow) }),
    dialWebSocket,
  };
}

/** Reads the files again at each call. */
function secretFiles(config: NatsTarget, readNow: (path: string) => string): NatsSecretFiles {
  const fail = (problem: Problem): Error => new Error(problem.text, { cause: problem.cause });
  const read = (field: FileKey): string | undefined => {
    const path = config[field];
    try {
      return path === undefined ? undefined : readNow(path);
    } catch (cause) {
      throw fail(unreadable(config, field, cause));
    }
  };
  return {
    read() {
      const contents = {
        password: read("natsPasswordFile"),
        token: read("natsTokenFile"),
        nkeySeed: read("natsNkeyFile"),
        creds: read("natsCredsFile"),
        ca: read("natsTlsCaFile"),
        cert: read("natsTlsCertFile"),
        key: read("natsTlsKeyFile"),
      };
      const [wrong] = wrongContents(contents);
      if (wrong !== undefined) throw fail(wrongContent(config, wrong));
      return secretsOf(config, contents);
    },
    unusable: (which) => fail(wrongContent(config, FILE_OF_SECRET[which])),
  };
}

function secretsOf(config: NatsTarget, contents: Contents): NatsSecrets {
  const { password, token, nkeySeed, creds, ca, cert, key } = contents;
  const tls = ca !== undefined || cert !== undefined || key !== undefined;
  return {
    password: password === undefined ? config.natsPassword : lineOf(password),
    token: token === undefined ? config.natsToken : lineOf(token),
    nkeySeed,
    creds,
    ...(tls && { tls: { ca, cert, key } }),
  };
}

/** Returns the text of a file of one line, which editors end with a line break; `undefined` if it is no such file. */
function lineOf(content: string): string | undefined {
  return /^([^\r\n]+)\r?\n?$/.exec(content)?.[1];
}

/** Returns the problems of the files that a configuration names for NATS. */
export async function natsFileProblems(
  config: Config,
  readTextFile: (path: string) => Promise<string>,
): Promise<Problem[]> {
  const targets: NatsTarget[] = [config, ...accountTargets(config).values()];
  const read = await Promise.all(targets.map((target) => readFiles(target, readTextFile)));
  return read.flatMap(({ problems }) => problems);
}

async function readFiles(
  config: NatsTarget,
  readTextFile: (path: string) => Promise<string>,
): Promise<{ contents: Contents; problems: Problem[] }> {
  const problems: Problem[] = [];
  const read = async (field: FileKey): Promise<string | undefined> => {
    const path = config[field];
    if (path === undefined) return undefined;
    try {
      return await readTextFile(path);
    } catch (cause) {
      problems.push(unreadable(config, field, cause));
      return undefined;
    }
  };
  const [password, token, nkeySeed, creds, ca, cert, key] = await Promise.all([
    read("natsPasswordFile"),
    read("natsTokenFile"),
    read("natsNkeyFile"),
    read("natsCredsFile"),
    read("natsTlsCaFile"),
    read("natsTlsCertFile"),
    read("natsTlsKeyFile"),
  ]);
  const contents = { password, token, nkeySeed, creds, ca, cert, key };
  const wrong = await uselessSecret({ nkeySeed, creds });
  if (wrong !== undefined) problems.push(wrongContent(config, FILE_OF_SECRET[wrong]));
  for (const field of wrongContents(contents)) problems.push(wrongContent(config, field));
  return { contents, problems };
}

/**
 * Returns the keys whose file has no single line, or no PEM of the right kind. Some runtimes would ignore such PEM, and trust
 * their default certificates.
 */
function wrongContents({ password, token, ca, cert, key }: Contents): FileKey[] {
  const wrong: FileKey[] = [];
  if (password !== undefined && lineOf(password) === undefined) wrong.push("natsPasswordFile");
  if (token !== undefined && lineOf(token) === undefined) wrong.push("natsTokenFile");
  if (ca !== undefined && !CERTIFICATE.test(ca)) wrong.push("natsTlsCaFile");
  if (cert !== undefined && !CERTIFICATE.test(cert)) wrong.push("natsTlsCertFile");
  if (key !== undefined && !PRIVATE_KEY.test(key)) wrong.push("natsTlsKeyFile");
  return wrong;
}

function unreadable(config: NatsTarget, field: FileKey, cause: unknown): Problem {
  return problemOf(config, field, `name a file that can be read: ${reasonOf(cause)}`, cause);
}

function wrongContent(config: NatsTarget, field: FileKey): Problem {
  return problemOf(config, field, CONTENT_RULES[field]);
}

function problemOf(config: NatsTarget, field: FileKey, must: string, cause?: unknown): Problem {
  const key = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const { at = "", [field]: path } = config;
  const problem = ruleProblem(`${at}${key}`, String(path), must, cause);
  return at === "" ? problem : { ...problem, key: "accounts" };
}
