import { readClaims } from "../access/claims.ts";
import { signToken } from "../access/sign-token.ts";
import type { Config } from "../config/config.ts";
import { parseDuration } from "../config/duration.ts";
import { parseJson } from "../config/json-text.ts";
import { reasonOf } from "../core/ports/errors.ts";
import { EXIT, type Invocation } from "./command.ts";
import { TOKEN_MAKE_FLAGS, TOKEN_TTL, TOKEN_TYPE } from "./command-flags.ts";
import { readConfig } from "./load-config.ts";
import { type FlagTexts, invalidCommand } from "./read-flags.ts";

type Issuer = NonNullable<Config["issuers"]>[number];

/** Signs a token for tests, and prints it. */
export async function makeToken(invocation: Invocation): Promise<number> {
  const { config, texts } = await readConfig(invocation, TOKEN_MAKE_FLAGS);
  const one = (name: string): string | undefined => texts.get(name)?.at(-1);
  const issuers = config.issuers ?? [];
  const named = one("--iss");
  const issuer = named === undefined ? issuers[0] : issuers.find((each) => each.issuer === named);
  const claims = claimsOf(texts, issuer);
  // Also of an issuer that refuses nothing here: a token that no gateway takes helps in no test.
  const read = readClaims(claims, "");
  if ("kind" in read) throw invalidCommand(`Cannot make the token: ${read.detail}`);
  const algorithms = issuer?.algorithms ?? [];
  try {
    const token = await signToken({
      key: await readKey(invocation, one("--key")),
      algorithm: one("--alg") ?? (algorithms.length === 1 ? algorithms[0] : undefined),
      keyId: one("--kid"),
      type: one("--typ") ?? issuer?.types[0] ?? TOKEN_TYPE,
      claims,
    });
    invocation.write(`${token}\n`);
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw invalidCommand(`Cannot sign with the key, as it ${error.message}`);
  }
}

async function readKey(invocation: Invocation, path: string | undefined): Promise<string> {
  if (path === undefined)
    return await invocation.readInput("Private key or secret, then Ctrl-D:\n", "all");
  try {
    return await invocation.readTextFile(path);
  } catch (error) {
    throw invalidCommand(`Cannot read the key: ${reasonOf(error)}`);
  }
}

function claimsOf(texts: FlagTexts, issuer: Issuer | undefined): Record<string, unknown> {
  const one = (name: string): string | undefined => texts.get(name)?.at(-1);
  const required = (name: string, preset?: string): string => {
    const text = one(name) ?? preset;
    if (text !== undefined) return text;
    const orConfig =
      name === "--sub" ? "" : ", or name a configuration that has issuers (--config)";
    throw invalidCommand(
      `Cannot make the token without its ${name.slice(2)}: set ${name}${orConfig}`,
    );
  };
  const ttl = one("--ttl") ?? TOKEN_TTL;
  const ttlMs = parseDuration(ttl);
  if (ttlMs === undefined || ttlMs < 1000) {
    throw invalidCommand(`"--ttl" is "${ttl}" but must be a duration like "10m", of at least "1s"`);
  }
  const nowSeconds = Math.floor(Date.now() / 1000);
  const subjects = { allow: texts.get("--allow") ?? [">"], deny: texts.get("--deny") ?? [] };
  return {
    iss: required("--iss", issuer?.issuer),
    aud: required("--aud", issuer?.audience[0]),
    sub: required("--sub"),
    iat: nowSeconds,
    exp: nowSeconds + Math.round(ttlMs / 1000),
    jti: crypto.randomUUID(),
    authorization_details: [{ type: "spillway", subjects }],
    ...Object.fromEntries((texts.get("--claim") ?? []).map(claimIn)),
  };
}

/** Reads `name=json`; a value that isn't JSON is a text. */
function claimIn(text: string): [string, unknown] {
  const at = text.indexOf("=");
  if (at <= 0) throw invalidCommand(`"--claim" is "${text}" but must be like "role=admin"`);
  const value = text.slice(at + 1);
  const json = parseJson(value);
  return [text.slice(0, at), "value" in json ? json.value : value];
}
