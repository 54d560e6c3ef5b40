/**
 * Clients that prove who they are. It prints one line for each fact; `runtimes.test.ts` runs it on each runtime.
 * It never calls `process.exit`: the process ends by itself unless something is left open.
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { SignJWT } from "jose";
import type { AccessRequest, Authenticator } from "../../src/access/authenticator.ts";
import { JwtAuthenticator } from "../../src/access/jwt.ts";
import { hashPassword } from "../../src/access/password-hash.ts";
import { Passwords } from "../../src/access/passwords.ts";
import { StaticTokens } from "../../src/access/static-tokens.ts";
import type { Log } from "../../src/core/ports/log.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import { answering, KeyServer } from "./support/key-server.ts";
import { MemoryFile } from "./support/memory-file.ts";
import { withPassword, withToken } from "./support/requests.ts";
import { keySet, newKey } from "./support/signing-keys.ts";

const log: Log = { debug() {}, info() {}, warn() {}, error() {} };
const details = [{ type: "spillway", subjects: { allow: ["orders.{sub}.>"] } }];
const TOKEN = "0123456789abcdef0123456789abcdef";

/** Tells who a client is, or why it isn't let in. */
async function tell(name: string, by: Authenticator, request: AccessRequest): Promise<void> {
  const answer = await by.authenticate(request);
  const fact =
    answer === undefined ? "nobody" : "kind" in answer ? answer.message : answer.principal.sub;
  process.stdout.write(`${JSON.stringify({ name, fact })}\n`);
}

const entry = { sha256: createHash("sha256").update(TOKEN).digest("hex"), sub: "u_1" };
const tokens = await StaticTokens.open({
  file: new MemoryFile(JSON.stringify([{ ...entry, authorization_details: details }])),
  ...{ clock, log },
});
await tell("static token", tokens, withToken(TOKEN));
await tell("unknown token", tokens, withToken(`${TOKEN}x`));
tokens.stop();

const user = { user: "ann", password_hash: await hashPassword("hunter2") };
const passwords = await Passwords.open({
  file: new MemoryFile(JSON.stringify([{ ...user, authorization_details: details }])),
  ...{ clock, log },
});
await tell("password", passwords, withPassword("ann", "hunter2"));
await tell("wrong password", passwords, withPassword("ann", "hunter3"));
passwords.stop();

const keys = await Promise.all(["RS256", "PS256", "ES256", "EdDSA"].map((alg) => newKey(alg, alg)));
const server = await KeyServer.start(answering(keySet(...keys)));
const moved = await KeyServer.start(answering("", 302, { Location: server.url }));
const issuer = {
  issuer: "https://id.example",
  audience: ["gw"],
  algorithms: keys.map(({ alg }) => alg),
  types: ["JWT"],
  maxTokenAgeMs: 3_600_000,
};
const jwt = await JwtAuthenticator.open({
  issuers: [
    { ...issuer, keys: { url: server.url } },
    { ...issuer, issuer: "https://moved.example", keys: { url: moved.url } },
  ],
  clockToleranceMs: 1000,
  ...{ clock, log },
});
const tokenOf = (iss: string, alg: string, key: CryptoKey, exp: string): Promise<string> =>
  new SignJWT({ sub: "u_2", authorization_details: details })
    .setProtectedHeader({ alg, kid: alg })
    .setIssuer(iss)
    .setAudience("gw")
    .setIssuedAt("-30m")
    .setExpirationTime(exp)
    .sign(key);
for (const { alg, privateKey } of keys) {
  await tell(alg, jwt, withToken(await tokenOf(issuer.issuer, alg, privateKey, "10m")));
}
const [{ alg, privateKey }] = keys as [(typeof keys)[number]];
await tell("expired", jwt, withToken(await tokenOf(issuer.issuer, alg, privateKey, "-10m")));
await tell(
  "moved keys",
  jwt,
  withToken(await tokenOf("https://moved.example", alg, privateKey, "10m")),
);
jwt.stop();
await Promise.all([server.stop(), moved.stop()]);
