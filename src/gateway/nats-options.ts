import type { Config } from "../config/config.ts";
import { reasonOf, SpillwayError } from "../core/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NatsOptions } from "../source/connect.ts";

/** The keys that name files, and what is made of their contents. */
type FileKey =
  | "natsNkeyFile"
  | "natsCredsFile"
  | "natsTlsCaFile"
  | "natsTlsCertFile"
  | "natsTlsKeyFile";

/**
 * How to reach NATS, with the contents of the files that the configuration names.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` when a file cannot be read: before anything opens.
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
      const key = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      throw new SpillwayError(
        "invalid",
        "CONFIG_INVALID",
        `Cannot use ${path} as "${key}" must name a file that can be read: ${reasonOf(cause)}`,
        { cause },
      );
    }
  };
  const [nkeySeed, creds, ca, cert, key] = await Promise.all([
    read("natsNkeyFile"),
    read("natsCredsFile"),
    read("natsTlsCaFile"),
    read("natsTlsCertFile"),
    read("natsTlsKeyFile"),
  ]);
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
