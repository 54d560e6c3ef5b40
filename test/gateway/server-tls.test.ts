import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/input.generated.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { openServerTls, tlsProblems } from "../../src/gateway/server-tls.ts";
import type { ServerTls } from "../../src/runtime/runtime.ts";
import { keptLog } from "../access/support/kept-log.ts";
import { MemoryFile } from "../access/support/memory-file.ts";
import { type Certificate, createCertificates, createSelfSigned } from "../source/credentials.ts";
import { EventLog, until } from "../support/event-log.ts";

const folder = mkdtempSync(join(tmpdir(), "spillway-tls-"));
afterAll(() => rmSync(folder, { recursive: true }));

let pki: ReturnType<typeof createCertificates>;
let passphrase: string;
let halfBroken: string;
/** A certificate with a key of a kind that Bun's TLS can't use. */
let refused: Certificate;
/** A clock that shows the time, and one that shows it when every certificate has expired. */
const clock = { wallMs: () => Date.now() };
const late = { wallMs: () => Date.now() + 30 * 86_400_000 };

beforeAll(() => {
  pki = createCertificates(folder);
  passphrase = join(folder, "passphrase.key");
  spawnSync(
    "openssl",
    ["ec", "-aes256", "-passout", "pass:x", "-in", pki.server.keyFile].concat("-out", passphrase),
  );
  refused = createSelfSigned(folder, "refused", "ec:secp224r1");
  halfBroken = join(folder, "half-broken.pem");
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  writeFileSync(halfBroken, pki.ca.cert + broken);
});

const readTextFile = async (path: string): Promise<string> => readFileSync(path, "utf8");

/** The texts of what is wrong with the files of a configuration. */
async function problemsOf(config: ConfigInput, time = clock, runtime = "node"): Promise<string[]> {
  const problems = await tlsProblems(parseConfig(config), runtime, time, readTextFile);
  return problems.map(({ key, text }) => {
    expect(text).toContain(`"${key}"`);
    return text;
  });
}

describe("The files of TLS", () => {
  const server = () => ({ tls_cert_file: pki.server.certFile, tls_key_file: pki.server.keyFile });

  test("that can be used have no problem, alone and with authorities", async () => {
    expect(await problemsOf({})).toEqual([]);
    expect(await problemsOf(server())).toEqual([]);
    expect(await problemsOf({ ...server(), tls_client_ca_files: [pki.ca.certFile] })).toEqual([]);
  });

  const files = {
    none: () => join(folder, "none"),
    key: () => pki.server.keyFile,
    certificate: () => pki.server.certFile,
    "another key": () => pki.client.keyFile,
    "a key with a passphrase": () => passphrase,
    "a broken certificate after a good one": () => halfBroken,
  };

  test.each<[keyof ConfigInput, keyof typeof files, string]>([
    ["tls_cert_file", "none", "a file that can be read, and it can't be read: ENOENT"],
    ["tls_cert_file", "key", "a file with a certificate in PEM"],
    ["tls_cert_file", "a broken certificate after a good one", "a file with a certificate in PEM"],
    ["tls_key_file", "none", "a file that can be read, and it can't be read: ENOENT"],
    ["tls_key_file", "certificate", "a file with a private key in PEM, without a passphrase"],
    [
      "tls_key_file",
      "a key with a passphrase",
      "a file with a private key in PEM, without a passphrase",
    ],
    ["tls_key_file", "another key", 'the private key of the certificate in "tls_cert_file"'],
    ["tls_client_ca_files", "none", "a file that can be read, and it can't be read: ENOENT"],
    ["tls_client_ca_files", "key", "files with certificates in PEM"],
    [
      "tls_client_ca_files",
      "a broken certificate after a good one",
      "files with certificates in PEM",
    ],
  ])("%s can't name %s", async (key, kind, rule) => {
    const path = files[kind]();
    const config = { ...server(), [key]: key === "tls_client_ca_files" ? [path] : path };
    const [problem, ...others] = await problemsOf(config);
    expect(problem).toStartWith(`"${key}" is ${JSON.stringify(path)} but must name ${rule}`);
    expect(others).toEqual([]);
  });

  test("must be accepted by the runtime's TLS, at the start and when they change", async () => {
    const { certFile, keyFile } = refused;
    const [problem, ...others] = await problemsOf({
      tls_cert_file: certFile,
      tls_key_file: keyFile,
    });
    expect(problem).toStartWith(
      `"tls_cert_file" is ${JSON.stringify(certFile)} but must name a file that this runtime's TLS accepts, and it says: `,
    );
    expect(others).toEqual([]);

    const { log, lines } = keptLog();
    const files = { cert: new MemoryFile(pki.server.cert), key: new MemoryFile(pki.server.key) };
    const opened = (await openServerTls(
      parseConfig({ tls_cert_file: "cert", tls_key_file: "key" }),
      {
        ...{ clock, log, file: (path) => files[path as keyof typeof files] },
      },
    ))!;
    opened.start();
    files.key.write(refused.key);
    files.cert.write(refused.cert);
    await until(
      "the reason",
      async () => String(lines.at(-1)?.reason),
      (reason) => reason.includes("this runtime's TLS accepts"),
    );
    expect(opened.value.cert).toBe(pki.server.cert);
    opened.stop();
  });

  test("must have a certificate that has not expired", async () => {
    const [problem] = await problemsOf(server(), late);
    expect(problem).toMatch(
      /^"tls_cert_file" is ".*" but must name a certificate that is valid, and this one expired at /,
    );
  });

  test("are all looked at, and a key is told for each that can't be used", async () => {
    const [none, key] = [files.none(), files.key()];
    const wrong = { tls_cert_file: none, tls_key_file: none, tls_client_ca_files: [key, none] };
    expect((await problemsOf(wrong)).map((text) => text.split(" ")[0])).toEqual([
      '"tls_cert_file"',
      '"tls_key_file"',
      '"tls_client_ca_files"',
      '"tls_client_ca_files"',
    ]);
  });

  test("can't have names of clients on Bun, nor the sockets of Bun and Deno themselves", async () => {
    const names = { tls_client_ca_files: [pki.ca.certFile], tls_client_names: ["client"] };
    expect(await problemsOf({ ...server(), ...names }, clock, "deno")).toEqual([]);
    expect(await problemsOf({ ...server(), ...names }, clock, "bun")).toMatchObject([
      expect.stringContaining('"tls_client_names" must not be set on Bun'),
    ]);
    for (const runtime of ["bun", "deno"]) {
      expect(await problemsOf({ ...server(), sockets: "native" }, clock, runtime)).toMatchObject([
        expect.stringContaining('"sockets" is "native" but must be "node"'),
      ]);
    }
  });

  test("that can't be used open no gateway", async () => {
    const config = parseConfig({ ...server(), tls_key_file: pki.client.keyFile });
    const file = (path: string) => ({
      ...{ name: path, read: () => readTextFile(path), watch: () => () => {} },
    });
    const opened = openServerTls(config, { file, clock, log: keptLog().log });
    await expect(opened).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("must name the private key of the certificate"),
    });
  });
});

describe("Changed files of TLS", () => {
  test("are used when they fit together, and the last good ones until then", async () => {
    const files = new Map<string, MemoryFile>();
    const paths = { tls_cert_file: "cert", tls_key_file: "key", tls_client_ca_files: ["ca"] };
    for (const [name, text] of Object.entries({
      ...{ cert: pki.server.cert, key: pki.server.key, ca: pki.ca.cert },
    })) {
      files.set(name, new MemoryFile(text));
    }
    const { log, lines } = keptLog();
    const file = (path: string) => files.get(path)!;
    const config = parseConfig({ ...paths, tls_min_version: "1.3" });
    const opened = (await openServerTls(config, { file, clock, log }))!;
    const told = new EventLog<ServerTls>("changes");
    opened.start((tls) => told.add(tls));
    const { cert, key } = pki.client;
    file("cert").write(cert);
    await until(
      "a failure",
      async () => lines.length,
      (count) => count === 1,
    );
    expect(lines[0]).toMatchObject({ event: "file_reload_failed", level: "error" });
    expect(opened.value.cert).toBe(pki.server.cert);
    file("key").write(key);
    const clientCa = [pki.ca.cert];
    expect(await told.next()).toEqual({ cert, key, clientCa, minVersion: "1.3", clientNames: [] });
    expect(told.entries.length).toBe(1);
    opened.stop();
    for (const one of files.values()) expect(one.watchers).toBe(0);
    expect(JSON.stringify(lines)).not.toContain("PRIVATE");
  });
});
