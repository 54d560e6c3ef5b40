import type { Config } from "../config/config.ts";
import { reasonOf, SpillwayError } from "../core/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type NatsOptions, uselessSecret } from "../source/connect.ts";

/** The keys that name files, and what is made of their contents. */
type FileKey =
  | "natsNkeyFile"
  | "natsCredsFile"
  | "natsTlsCaFile"
  | "natsTlsCertFile"
  | "natsTlsKeyFile";

const WANTED = {
  nkeySeed: { field: "natsNkeyFile", must: 'hold the seed of an NKey, which begins with "SU"' },
  creds: { field: "natsCredsFile", must: "hold credentials: a user's JWT and its seed" },
} as const;

/**
 * How to reach NATS, with the contents of the files that the configuration names.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` when a file cannot be read, or holds no key: before anything
 * opens.
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
  const useless = await uselessSecret({ nkeySeed, creds });
  if (useless !== undefined) {
    const { field, must } = WANTED[useless];
    throw unusable(config[field], field, must);
  }
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
  const message = `Cannot use ${path} as "${key}" must ${must}`;
  return new SpillwayError("invalid", "CONFIG_INVALID", message, { cause });
}
