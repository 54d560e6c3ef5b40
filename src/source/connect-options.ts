/** Certificates and keys as PEM text, not as file names. */
export interface NatsTls {
  /** The authorities that may certify the server. Default: the runtime's. */
  readonly ca?: string | undefined;
  /** The client certificate, for a server that asks for one; needs `key`. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** The secrets of our login. Those that are contents of files may be replaced while we run. */
export interface NatsSecrets {
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  /** The seed of an NKey, beginning with `SU`. */
  readonly nkeySeed?: string | undefined;
  /** A credentials file: a user JWT and its NKey seed. */
  readonly creds?: string | undefined;
  /** Makes TLS compulsory with `nats://`, even if empty; `tls://` does that by itself. */
  readonly tls?: NatsTls | undefined;
}

/** Where {@linkcode NatsSecrets} come from, if some of them are contents of files. */
export interface NatsSecretFiles {
  /**
   * Returns all of them, those of files read again, before each connect and reconnect, as the old secrets may have expired.
   *
   * @throws an error in words for people if one can't be read, or has unexpected contents.
   */
  read(): NatsSecrets;
  /** Makes the error for a file with unexpected contents. */
  unusable(which: "nkeySeed" | "creds"): Error;
}

/** The servers and our login. The caller reads files: all of these are contents. */
export interface NatsOptions extends NatsSecrets {
  /**
   * URLs with `nats://`, `tls://`, `ws://` or `wss://`, at least one, and all of one transport. Default scheme:
   * `nats://`. The first server that answers names the others of its cluster. The first user and password, or
   * token, in a URL is used for all servers, and overrides the options below, as in nats.go.
   */
  readonly servers: readonly string[];
  /** The name of this connection in NATS' monitoring. */
  readonly name: string;
  readonly user?: string | undefined;
  /** Reads the secrets again from their files. Default: they don't change. */
  readonly files?: NatsSecretFiles | undefined;
  /**
   * Opens the socket of `wss://`. Each runtime takes certificates in its own way, and Node's global `WebSocket`
   * does not say why it refused a server's certificate. Default: the global `WebSocket`.
   */
  readonly dialWebSocket?: ((url: string, tls: NatsTls) => WebSocket) | undefined;
}
