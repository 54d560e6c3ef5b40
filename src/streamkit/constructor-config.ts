import type { Config } from "../config/config.ts";
import { defaultConfig, parseComponentConfig } from "../config/parse.ts";
import type { Log } from "../core/ports/log.ts";
import { fileShape } from "./file-shape.ts";

/** What a host may give an output; each has a default of its own. */
export interface OutputDeps<Connection, MetricsRegistry> {
  /** A connection to NATS that stays its owner's; goes before `natsUrls`. */
  readonly natsConnection?: Connection | undefined;
  /** Where the metrics are shown as well. */
  readonly metricsRegistry?: MetricsRegistry | undefined;
  readonly logger?: Log | undefined;
}

/** StreamKit's `ConstructorConfig`: an output that is made in code, without a file. */
export interface ConstructorConfig<Connection = unknown, MetricsRegistry = unknown>
  extends OutputDeps<Connection, MetricsRegistry> {
  /** Empty: `websocket-output-<port>`. */
  readonly name: string;
  /** 1024 to 65535; 0 takes any free port. */
  readonly port: number;
  readonly path: string;
  readonly subjects: readonly string[];
  /** Where NATS is, when no connection is given. Without either, messages come from memory. */
  readonly natsUrls?: readonly string[] | undefined;
  readonly security?: SecurityConfig | undefined;
  /** How messages are delivered, as a file's `delivery_mode`; its other keys are as in a file. */
  readonly deliveryMode: Config["deliveryMode"];
  /** Without effect in at-most-once. */
  readonly ackTimeoutMs: number;
}

/** Who may connect, and how the output logs in to NATS. What is left out is as in a file. */
export interface SecurityConfig {
  /** Where to listen; the default is loopback. */
  readonly host?: string | undefined;
  readonly allowedOrigins?: readonly string[] | undefined;
  readonly allowedHosts?: readonly string[] | undefined;
  readonly maxClients?: number | undefined;
  /** Only with `natsUrls`; one way to log in. */
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

/** What a host begins with: `{ ...defaultConstructorConfig(), subjects: ["orders.>"] }`. */
export function defaultConstructorConfig(): ConstructorConfig<never, never> {
  const { port, path, subjects, deliveryMode, ackTimeoutMs } = defaultConfig();
  return { name: "", port, path, subjects, deliveryMode, ackTimeoutMs };
}

/**
 * The whole configuration of an output that is made in code.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid), in the words of a file: a wrong
 * `ackTimeoutMs` is told as `"ack_timeout"`.
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
