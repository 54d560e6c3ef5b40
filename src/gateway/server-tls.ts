import { createPrivateKey, X509Certificate } from "node:crypto";
import type { FileReader } from "../access/watched-file.ts";
import type { Config } from "../config/config.ts";
import { configError, type Problem } from "../config/problem.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { ServerTls } from "../runtime/runtime.ts";

type TlsConfig = Pick<
  Config,
  "tlsCertFile" | "tlsKeyFile" | "tlsClientCaFiles" | "tlsClientNames" | "tlsMinVersion" | "sockets"
>;

/** The contents of the files. */
interface TlsTexts {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: readonly string[];
}

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificate, the key and the authorities of clients, read again when their files change. */
export class ServerTlsFiles {
  readonly #config: TlsConfig;
  readonly #file: (path: string) => FileReader;
  readonly #log: Log;
  #unwatch: (() => void)[] = [];
  /** What was read last, good or not. */
  #last = "";
  #isReading = false;

  /** @param file returns a file that tells when it changes. */
  constructor(config: TlsConfig, file: (path: string) => FileReader, log: Log) {
    this.#config = config;
    this.#file = file;
    this.#log = log;
  }

  /**
   * Reads the files.
   *
   * @param changed is called with what is read later, until `stop`.
   * @returns `undefined` if no certificate is configured.
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file can't be used.
   */
  async open(changed: (tls: ServerTls) => void): Promise<ServerTls | undefined> {
    const paths = pathsOf(this.#config);
    if (paths === undefined) return undefined;
    const files = new Map(paths.all.map((path) => [path, this.#file(path)]));
    const read = (path: string): Promise<string> => files.get(path)?.read() ?? Promise.reject();
    const { texts, problems } = await readTexts(this.#config, read);
    if (texts === undefined) throw configError(problems);
    this.#last = JSON.stringify(texts);
    this.#unwatch = [...files.values()].map((file) =>
      file.watch(() => void this.#reload(read, changed)),
    );
    return this.#tlsOf(texts);
  }

  /** May be called twice. */
  stop(): void {
    for (const unwatch of this.#unwatch.splice(0)) unwatch();
  }

  async #reload(
    read: (path: string) => Promise<string>,
    changed: (tls: ServerTls) => void,
  ): Promise<void> {
    // All files tell at the same time.
    if (this.#isReading) return;
    this.#isReading = true;
    const { texts, problems } = await readTexts(this.#config, read);
    this.#isReading = false;
    const now = JSON.stringify(texts ?? problems.map(({ text }) => text));
    if (now === this.#last || this.#unwatch.length === 0) return;
    this.#last = now;
    const { tlsCertFile: file } = this.#config;
    try {
      if (texts === undefined) throw new Error(problems.map(({ text }) => text).join("; "));
      changed(this.#tlsOf(texts));
      this.#log.info("The certificate of {file} is in use", { event: "tls_reloaded", file });
    } catch (error) {
      this.#log.error("Cannot use the new certificate, so the old one stays in use: {reason}", {
        event: "tls_reload_failed",
        file,
        reason: reasonOf(error),
      });
    }
  }

  #tlsOf(texts: TlsTexts): ServerTls {
    const { tlsMinVersion: minVersion, tlsClientNames: clientNames } = this.#config;
    return { ...texts, minVersion, clientNames };
  }
}

/**
 * Returns what is wrong with the keys of TLS: files that can't be used, and what this runtime can't do.
 *
 * @param runtime `"bun"`, `"deno"` or `"node"`.
 */
export async function tlsProblems(
  config: TlsConfig,
  runtime: string,
  readTextFile: (path: string) => Promise<string>,
): Promise<readonly Problem[]> {
  return [...unsupportedTls(config, runtime), ...(await readTexts(config, readTextFile)).problems];
}

/** Returns what this runtime can't do. */
export function unsupportedTls(config: TlsConfig, runtime: string): Problem[] {
  if (config.tlsCertFile === undefined) return [];
  const problems: Problem[] = [];
  if (config.sockets === "native" && runtime !== "node") {
    const text = `"sockets" is "native" but must be "node" with "tls_cert_file": the runtime's own server can't renew certificates`;
    problems.push({ key: "sockets", text });
  }
  if (config.tlsClientNames.length > 0 && runtime === "bun") {
    const text = `"tls_client_names" must not be set on Bun, whose node:https doesn't tell the client's certificate: use an authority of its own in "tls_client_ca_files", or Node or Deno`;
    problems.push({ key: "tls_client_names", text });
  }
  return problems;
}

function pathsOf({ tlsCertFile: cert, tlsKeyFile: key, tlsClientCaFiles: clientCa }: TlsConfig) {
  if (cert === undefined || key === undefined) return undefined;
  return { cert, key, clientCa, all: [cert, key, ...clientCa] };
}

async function readTexts(
  config: TlsConfig,
  readTextFile: (path: string) => Promise<string>,
): Promise<{ texts?: TlsTexts; problems: readonly Problem[] }> {
  const paths = pathsOf(config);
  if (paths === undefined) return { problems: [] };
  const problems: Problem[] = [];
  const wrong = (key: string, path: string, must: string): void => {
    problems.push({ key, text: `"${key}" is ${JSON.stringify(path)} but must ${must}` });
  };
  const read = async (key: string, path: string): Promise<string> => {
    try {
      return await readTextFile(path);
    } catch (error) {
      wrong(key, path, `name a file that can be read: ${reasonOf(error)}`);
      return "";
    }
  };
  const [cert, key, ...clientCa] = await Promise.all([
    read("tls_cert_file", paths.cert),
    read("tls_key_file", paths.key),
    ...paths.clientCa.map((path) => read("tls_client_ca_files", path)),
  ]);
  if (problems.length > 0) return { problems };
  if (!hasCertificates(cert)) {
    wrong("tls_cert_file", paths.cert, "name a file with a certificate in PEM");
  } else if (!isPrivateKey(key)) {
    wrong("tls_key_file", paths.key, "name a file with a private key in PEM, without a passphrase");
  } else if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    wrong("tls_key_file", paths.key, 'name the private key of the certificate in "tls_cert_file"');
  }
  for (const [index, text] of clientCa.entries()) {
    if (hasCertificates(text)) continue;
    const path = paths.clientCa[index] ?? "";
    wrong("tls_client_ca_files", path, "name files with certificates in PEM");
  }
  return problems.length > 0 ? { problems } : { texts: { cert, key, clientCa }, problems };
}

/** Some runtimes ignore what they can't read, and trust their own authorities instead. */
function hasCertificates(pem: string): boolean {
  const certificates = pem.match(CERTIFICATES) ?? [];
  try {
    return certificates.map((one) => new X509Certificate(one)).length > 0;
  } catch {
    return false;
  }
}

function isPrivateKey(pem: string): boolean {
  try {
    createPrivateKey(pem);
    return true;
  } catch {
    return false;
  }
}
