import type { Config } from "../config/config.ts";
import { configError } from "../config/problem.ts";
import { reasonOf, type SpillwayError } from "../core/errors.ts";
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
  const read = async (field: FileKey): Promise<string | undefined> => {
    const path = config[field];
    if (path === undefined) return undefined;
    try {
      return await readTextFile(path);
    } catch (cause) {
      throw unusable(path, field, `name a file that can be read: ${reasonOf(cause)}`, cause);
    }
  };
  const [nkeySeed, creds, ca, cert, key] = await Promise.all([
    read("natsNkeyFile"),
    read("natsCredsFile"),
    read("natsTlsCaFile"),
    read("natsTlsCertFile"),
    read("natsTlsKeyFile"),
  ]);
  const refuse = (field: FileKey): never => {
    throw unusable(config[field], field, WANTED[field]);
  };
  const useless = await uselessSecret({ nkeySeed, creds });
  if (useless !== undefined) refuse(useless === "creds" ? "natsCredsFile" : "natsNkeyFile");
  // Some runtimes would leave out what they can't read, and trust whom they trust anyhow.
  if (ca !== undefined && !CERTIFICATE.test(ca)) refuse("natsTlsCaFile");
  if (cert !== undefined && !CERTIFICATE.test(cert)) refuse("natsTlsCertFile");
  if (key !== undefined && !PRIVATE_KEY.test(key)) refuse("natsTlsKeyFile");
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

function unusable(
  path: string | undefined,
  field: FileKey,
  must: string,
  cause?: unknown,
): SpillwayError {
  const key = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return configError([{ text: `"${key}" is ${JSON.stringify(path)} but must ${must}`, cause }]);
}
