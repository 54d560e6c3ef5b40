import type { Config } from "../config/config.ts";
import { configError, type Problem } from "../config/problem.ts";
import { reasonOf } from "../core/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type NatsOptions, uselessSecret } from "../source/connect.ts";

/** The keys that name files, and what must be in them. */
const WANTED = {
  natsNkeyFile: 'hold the seed of a user\'s NKey, which begins with "SU"',
  natsCredsFile: "hold credentials: a user's JWT and its seed",
  natsTlsCaFile: "hold certificates (PEM)",
  natsTlsCertFile: "hold a certificate (PEM)",
  natsTlsKeyFile: "hold a private key (PEM)",
} as const;

type FileKey = keyof typeof WANTED;

const CERTIFICATE = /-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/;
const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** The contents of the files that a configuration names. */
interface Contents {
  readonly nkeySeed: string | undefined;
  readonly creds: string | undefined;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/**
 * How to reach NATS, with the contents of the files that the configuration names.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` when a file cannot be read, or holds something else: before
 * anything opens.
 */
export async function readNatsOptions(
  config: Config,
  dialWebSocket: Runtime["dialWebSocket"],
  readTextFile: (path: string) => Promise<string>,
): Promise<NatsOptions> {
  const { contents, problems } = await readFiles(config, readTextFile);
  if (problems.length > 0) throw configError(problems);
  const { nkeySeed, creds, ca, cert, key } = contents;
  const tls = ca !== undefined || cert !== undefined || key !== undefined;
  return {
    servers: config.natsUrls,
    name: config.name,
    user: config.natsUser,
    password: config.natsPassword,
    token: config.natsToken,
    nkeySeed,
    creds,
    ...(tls && { tls: { ca, cert, key } }),
    dialWebSocket,
  };
}

/** What is wrong with the files that a configuration names for NATS. */
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
      problems.push(
        unusable(path, field, `name a file that can be read: ${reasonOf(cause)}`, cause),
      );
      return undefined;
    }
  };
  const [nkeySeed, creds, ca, cert, key] = await Promise.all([
    read("natsNkeyFile"),
    read("natsCredsFile"),
    read("natsTlsCaFile"),
    read("natsTlsCertFile"),
    read("natsTlsKeyFile"),
  ]);
  const refuse = (field: FileKey): void => {
    problems.push(unusable(config[field], field, WANTED[field]));
  };
  const useless = await uselessSecret({ nkeySeed, creds });
  if (useless !== undefined) refuse(useless === "creds" ? "natsCredsFile" : "natsNkeyFile");
  // Some runtimes would leave out what they can't read, and trust whom they trust anyhow.
  if (ca !== undefined && !CERTIFICATE.test(ca)) refuse("natsTlsCaFile");
  if (cert !== undefined && !CERTIFICATE.test(cert)) refuse("natsTlsCertFile");
  if (key !== undefined && !PRIVATE_KEY.test(key)) refuse("natsTlsKeyFile");
  return { contents: { nkeySeed, creds, ca, cert, key }, problems };
}

function unusable(
  path: string | undefined,
  field: FileKey,
  must: string,
  cause?: unknown,
): Problem {
  const key = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return { text: `"${key}" is ${JSON.stringify(path)} but must ${must}`, key, cause };
}
