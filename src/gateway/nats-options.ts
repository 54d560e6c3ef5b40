import type { Config } from "../config/config.ts";
import { configError, type Problem } from "../config/problem.ts";
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
  config: Config,
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
function secretFiles(config: Config, readNow: (path: string) => string): NatsSecretFiles {
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

function secretsOf(config: Config, contents: Contents): NatsSecrets {
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
  return (await readFiles(config, readTextFile)).problems;
}

async function readFiles(
  config: Config,
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

function unreadable(config: Config, field: FileKey, cause: unknown): Problem {
  return problemOf(config[field], field, `name a file that can be read: ${reasonOf(cause)}`, cause);
}

function wrongContent(config: Config, field: FileKey): Problem {
  return problemOf(config[field], field, CONTENT_RULES[field]);
}

function problemOf(
  path: string | undefined,
  field: FileKey,
  must: string,
  cause?: unknown,
): Problem {
  const key = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return { text: `"${key}" is ${JSON.stringify(path)} but must ${must}`, key, cause };
}
