import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nkeys } from "nats";

/** A certificate and its key, as PEM text and as files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A private certificate authority with one server and one client, made anew by openssl. */
export function createCertificates(directory: string): {
  ca: Certificate;
  server: Certificate;
  client: Certificate;
} {
  const file = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => {
    const { status, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`);
  };
  const create = (name: string, extensions: string): Certificate => {
    const keyFile = file(`${name}.key`);
    const certFile = file(`${name}.pem`);
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", keyFile);
    const subject = ["-new", "-key", keyFile, "-subj", `/CN=${name}`];
    if (name === "ca") {
      const authority = ["-x509", "-days", "2", "-addext", extensions, "-out", certFile];
      openssl("req", ...subject, ...authority);
    } else {
      openssl("req", ...subject, "-out", file("request.csr"));
      writeFileSync(file("extensions"), extensions);
      const signer = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial"];
      const request = ["-in", file("request.csr"), "-extfile", file("extensions"), "-days", "2"];
      openssl("x509", "-req", ...request, ...signer, "-out", certFile);
    }
    return {
      cert: readFileSync(certFile, "utf8"),
      key: readFileSync(keyFile, "utf8"),
      certFile,
      keyFile,
    };
  };
  return {
    ca: create("ca", "basicConstraints=critical,CA:TRUE"),
    server: create(
      "server",
      "subjectAltName=IP:127.0.0.1,DNS:app.example.com\nextendedKeyUsage=serverAuth",
    ),
    client: create("client", "extendedKeyUsage=clientAuth"),
  };
}

/** A certificate that nobody else vouches for. @param kind of the key: `rsa:512`, or `ec:` and a curve. */
export function createSelfSigned(directory: string, name: string, kind: string): Certificate {
  const [keyFile, certFile] = [join(directory, `${name}.key`), join(directory, `${name}.pem`)];
  const [algorithm = "", curve = ""] = kind.split(":");
  const key = algorithm === "ec" ? ["ec", "-pkeyopt", `ec_paramgen_curve:${curve}`] : [kind];
  const request = [
    "req",
    "-x509",
    "-nodes",
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
    "-newkey",
    ...key,
  ];
  const { status, stderr } = spawnSync("openssl", [
    ...request,
    "-keyout",
    keyFile,
    "-out",
    certFile,
  ]);
  if (status !== 0) throw new Error(`openssl: ${stderr}`);
  const [cert, keyText] = [readFileSync(certFile, "utf8"), readFileSync(keyFile, "utf8")];
  return { cert, key: keyText, certFile, keyFile };
}

/**
 * An operator with one account and one user, as
 * https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt tells:
 * the server's configuration, and the contents of the user's credentials file.
 */
export function createOperator(): { config: string; creds: string } {
  const operator = nkeys.createOperator();
  const account = nkeys.createAccount();
  const user = nkeys.createUser();
  const sign = (by: typeof operator, of: typeof operator, claims: object): string => {
    const encode = (part: string | Uint8Array): string => Buffer.from(part).toString("base64url");
    const header = encode(JSON.stringify({ typ: "JWT", alg: "ed25519-nkey" }));
    const body = encode(
      JSON.stringify({
        jti: encode(crypto.getRandomValues(new Uint8Array(16))),
        iat: Math.floor(Date.now() / 1_000),
        iss: by.getPublicKey(),
        sub: of.getPublicKey(),
        name: "test",
        nats: { version: 2, ...claims },
      }),
    );
    const signature = by.sign(new TextEncoder().encode(`${header}.${body}`));
    return `${header}.${body}.${encode(signature)}`;
  };
  const unlimited = { subs: -1, data: -1, payload: -1 };
  const limits = { ...unlimited, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const operatorJwt = sign(operator, operator, { type: "operator" });
  const accountJwt = sign(operator, account, { type: "account", limits });
  const userJwt = sign(account, user, { type: "user", ...unlimited });
  const seed = new TextDecoder().decode(user.getSeed());
  return {
    config: [
      `operator: ${operatorJwt}`,
      "resolver: MEMORY",
      `resolver_preload: { ${account.getPublicKey()}: ${accountJwt} }`,
    ].join("\n"),
    creds: [
      "-----BEGIN NATS USER JWT-----",
      userJwt,
      "------END NATS USER JWT------",
      "",
      "************************* IMPORTANT *************************",
      "NKEY Seed printed below can be used to sign and prove identity.",
      "",
      "-----BEGIN USER NKEY SEED-----",
      seed,
      "------END USER NKEY SEED------",
      "",
    ].join("\n"),
  };
}
