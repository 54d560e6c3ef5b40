import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import {
  FileFault,
  type FileReader,
  type FileText,
  readTexts,
  WatchedFiles,
} from "../access/watched-files.ts";
import type { Config } from "../config/config.ts";
import { configError, type Problem, ruleProblem } from "../config/problem.ts";
import type { Clock } from "../core/ports/clock.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { ServerTls } from "../runtime/runtime.ts";

type TlsConfig = Pick<
  Config,
  "tlsCertFile" | "tlsKeyFile" | "tlsClientCaFiles" | "tlsClientNames" | "tlsMinVersion" | "sockets"
>;

type WallClock = Pick<Clock, "wallMs">;

interface TlsPath {
  readonly key: "tls_cert_file" | "tls_key_file" | "tls_client_ca_files";
  readonly path: string;
}

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Files of TLS that can't be used. */
class TlsFault extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(({ text }) => text).join("; "));
    this.problems = problems;
  }
}

/**
 * Reads the certificate, the key and the authorities of clients, which are read again when their files change.
 *
 * @param file returns a file that tells when it changes.
 * @returns `undefined` if no certificate is configured.
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file can't be used.
 */
export async function openServerTls(
  config: TlsConfig,
  { file, clock, log }: { file: (path: string) => FileReader; clock: WallClock; log: Log },
): Promise<WatchedFiles<ServerTls> | undefined> {
  const paths = pathsOf(config);
  if (paths === undefined) return undefined;
  const parse = (texts: readonly FileText[]): ServerTls => {
    const problems = problemsIn(texts, paths, clock);
    if (problems.length > 0) throw new TlsFault(problems);
    const [cert, key, ...clientCa] = texts as [string, string, ...string[]];
    const { tlsMinVersion: minVersion, tlsClientNames: clientNames } = config;
    return { cert, key, clientCa, minVersion, clientNames };
  };
  try {
    return await WatchedFiles.open(
      paths.map(({ path }) => file(path)),
      parse,
      log,
    );
  } catch (fault) {
    throw fault instanceof TlsFault ? configError(fault.problems) : fault;
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
  clock: WallClock,
  readTextFile: (path: string) => Promise<string>,
): Promise<readonly Problem[]> {
  const paths = pathsOf(config) ?? [];
  const files = paths.map(({ path }) => ({ name: path, read: () => readTextFile(path) }));
  const problems = problemsIn(await readTexts(files), paths, clock);
  return [...unsupportedTls(config, runtime), ...problems];
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

/** Returns the files of TLS with their keys: the certificate, the private key, and the authorities of clients. */
function pathsOf(config: TlsConfig): readonly TlsPath[] | undefined {
  const { tlsCertFile, tlsKeyFile, tlsClientCaFiles } = config;
  if (tlsCertFile === undefined || tlsKeyFile === undefined) return undefined;
  return [
    { key: "tls_cert_file", path: tlsCertFile },
    { key: "tls_key_file", path: tlsKeyFile },
    ...tlsClientCaFiles.map((path) => ({ key: "tls_client_ca_files", path }) as const),
  ];
}

/** Returns what is wrong with the texts of files. */
function problemsIn(
  texts: readonly FileText[],
  paths: readonly TlsPath[],
  clock: WallClock,
): readonly Problem[] {
  const [cert = ""] = texts;
  const problems = paths.flatMap(({ key, path }, index): Problem[] => {
    const rule = brokenRule(key, texts[index] ?? "", { cert, nowMs: clock.wallMs() });
    return rule === undefined ? [] : [ruleProblem(key, path, `name ${rule}`)];
  });
  return problems.length > 0 ? problems : refusedByTls(texts as readonly string[], paths);
}

/** Returns the first file that the runtime's TLS refuses, for example for a key that is too weak. */
function refusedByTls(texts: readonly string[], paths: readonly TlsPath[]): readonly Problem[] {
  for (const [index, { key, path }] of paths.entries()) {
    const [cert, privateKey, ...ca] = texts.slice(0, index + 1);
    try {
      createSecureContext({ cert, key: privateKey, ...(ca.length > 0 && { ca }) });
    } catch (error) {
      const rule = `name a file that this runtime's TLS accepts, and it says: ${reasonOf(error)}`;
      return [ruleProblem(key, path, rule)];
    }
  }
  return [];
}

/** Returns the rule that the text of a file breaks. It completes the sentence "It must name …". */
function brokenRule(
  key: TlsPath["key"],
  text: FileText,
  { cert, nowMs }: { readonly cert: FileText; readonly nowMs: number },
): string | undefined {
  if (text instanceof FileFault) return `a file that can be read, and it ${text.message}`;
  switch (key) {
    case "tls_cert_file": {
      const [certificate] = certificatesIn(text);
      if (certificate === undefined) return "a file with a certificate in PEM";
      const isExpired = Date.parse(certificate.validTo) < nowMs;
      return isExpired
        ? `a certificate that is valid, and this one expired at ${certificate.validTo}`
        : undefined;
    }
    case "tls_key_file": {
      const privateKey = privateKeyIn(text);
      if (privateKey === undefined) {
        return "a file with a private key in PEM, without a passphrase";
      }
      const [certificate] = cert instanceof FileFault ? [] : certificatesIn(cert);
      return certificate !== undefined && isOther(certificate, privateKey)
        ? 'the private key of the certificate in "tls_cert_file"'
        : undefined;
    }
    case "tls_client_ca_files":
      return certificatesIn(text).length === 0 ? "files with certificates in PEM" : undefined;
  }
}

/**
 * Reads certificates; none if one of them can't be read: some runtimes ignore those, and trust their own authorities
 * instead.
 */
function certificatesIn(pem: string): readonly X509Certificate[] {
  try {
    return (pem.match(CERTIFICATES) ?? []).map((one) => new X509Certificate(one));
  } catch {
    return [];
  }
}

/** Whether a private key is that of another certificate. A key that the runtime can't read is none: TLS refuses it. */
function isOther(certificate: X509Certificate, privateKey: KeyObject): boolean {
  try {
    return !certificate.checkPrivateKey(privateKey);
  } catch {
    return false;
  }
}

function privateKeyIn(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
