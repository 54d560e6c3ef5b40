import type { Config } from "../config/config.ts";
import { defaultConfig, parseComponentConfig } from "../config/parse.ts";
import type { Log } from "../core/ports/log.ts";
import type { GatewayDeps } from "../gateway/deps.ts";
import { fileShape } from "./file-shape.ts";

/** What a host may give an output. Each has a default. */
export interface OutputDeps extends Pick<GatewayDeps, "natsConnection" | "metricsRegistry"> {
  /** Takes the log. By default, LogTape's category `["spillway"]` does. */
  readonly logger?: Log | undefined;
}

/** StreamKit's `ConstructorConfig`: the configuration of an output that is made in code, without a file. */
export interface ConstructorConfig extends OutputDeps {
  /** An empty text becomes `websocket-output-<port>`. */
  readonly name: string;
  /** 1024 to 65535, or 0 for any free port. */
  readonly port: number;
  readonly path: string;
  readonly subjects: readonly string[];
  /** The URLs of NATS, if there is no `natsConnection`. Without either, messages come from memory. */
  readonly natsUrls?: readonly string[] | undefined;
  readonly security?: SecurityConfig | undefined;
  /** The key `delivery_mode` of a file. The other keys have their defaults. */
  readonly deliveryMode: Config["deliveryMode"];
  /** Has no effect in at-most-once. */
  readonly ackTimeoutMs: number;
}

/** Who may connect, and how the output logs in to NATS. Missing fields have the defaults of a file. */
export interface SecurityConfig {
  /** The address to listen on; the default is loopback. */
  readonly host?: string | undefined;
  readonly allowedOrigins?: readonly string[] | undefined;
  readonly allowedHosts?: readonly string[] | undefined;
  readonly maxClients?: number | undefined;
  /** Only with `natsUrls`, and with one way to log in. */
  readonly nats?: NatsSecurity | undefined;
}

export interface NatsSecurity {
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  readonly nkeyFile?: string | undefined;
  readonly credsFile?: string | undefined;
  readonly tlsCaFile?: string | undefined;
  readonly tlsCertFile?: string | undefined;
  readonly tlsKeyFile?: string | undefined;
}

/** Returns the defaults, for a host to change: `{ ...defaultConstructorConfig(), subjects: ["orders.>"] }`. */
export function defaultConstructorConfig(): ConstructorConfig {
  const { port, path, subjects, deliveryMode, ackTimeoutMs } = defaultConfig();
  return { name: "", port, path, subjects, deliveryMode, ackTimeoutMs };
}

/**
 * Returns the whole configuration of an output that is made in code.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid). The message has the keys of a file: `"ack_timeout"` for
 * `ackTimeoutMs`.
 */
export function configOf(constructorConfig: ConstructorConfig): Config {
  const { natsConnection, metricsRegistry, logger, security, name, ...fields } = constructorConfig;
  const { nats = {}, ...access } = security ?? {};
  const login = Object.entries(nats).map(([field, value]) => [
    `nats${field.charAt(0).toUpperCase()}${field.slice(1)}`,
    value,
  ]);
  return parseComponentConfig(
    fileShape({
      ...access,
      ...Object.fromEntries(login),
      ...fields,
      name: name === "" ? `websocket-output-${fields.port}` : name,
    }),
  );
}
