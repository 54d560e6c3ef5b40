import { createHash, createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keySet, newKey, type SigningKey } from "../../access/support/signing-keys.ts";

export const ISSUER = "https://id.example";
export const OTHER_ISSUER = "https://other.example";
const AUDIENCE = "https://gateway.example";
/** A static token of the client `robot`, and one that has expired. */
export const STATIC_TOKEN = "robot-0123456789abcdef0123456789abcdef";
export const EXPIRED_STATIC_TOKEN = "stale-0123456789abcdef0123456789abcdef";
/** A static token of a client that may have each of very many subjects below `calm.room`, and nothing else. */
export const CROWDED_STATIC_TOKEN = "crowd-0123456789abcdef0123456789abcdef";
export const ROOMS = 960;

type Members = Readonly<Record<string, unknown>>;

/** What is special about a token; the rest is as in a valid one. Times are in seconds from now. */
export interface TokenParts {
  readonly claims?: Members;
  readonly header?: Members;
  /** Default: the key of {@linkcode ISSUER}. */
  readonly key?: SigningKey;
}

/** Makes tokens, good and hostile ones, for gateways that know the keys of two issuers. */
export class TokenMaker {
  readonly own: SigningKey;
  /** The key of {@linkcode OTHER_ISSUER}. */
  readonly others: SigningKey;
  /** Nobody's key, with the name of {@linkcode own}. */
  readonly forged: SigningKey;
  readonly #directory: string;

  private constructor(directory: string, [own, others, forged]: readonly SigningKey[]) {
    this.#directory = directory;
    this.own = own!;
    this.others = others!;
    this.forged = forged!;
  }

  static async open(): Promise<TokenMaker> {
    const directory = await mkdtemp(join(tmpdir(), "spillway-tokens-"));
    const names = ["own", "others", "own"];
    const maker = new TokenMaker(directory, await Promise.all(names.map((name) => newKey(name))));
    const entry = (token: string, more: object = {}) => ({
      sha256: createHash("sha256").update(token).digest("hex"),
      sub: "robot",
      authorization_details: [{ type: "spillway", subjects: { allow: [">"] } }],
      ...more,
    });
    const expired = entry(EXPIRED_STATIC_TOKEN, { expires: "2020-01-01T00:00:00Z" });
    await writeFile(join(directory, "own.json"), keySet(maker.own));
    await writeFile(join(directory, "others.json"), keySet(maker.others));
    const allow = Array.from({ length: ROOMS }, (_, room) => `calm.room.${room}.>`);
    const crowded = entry(CROWDED_STATIC_TOKEN, {
      authorization_details: [{ type: "spillway", subjects: { allow } }],
    });
    const tokens = JSON.stringify([entry(STATIC_TOKEN), expired, crowded]);
    await writeFile(join(directory, "tokens.json"), tokens);
    return maker;
  }

  async close(): Promise<void> {
    await rm(this.#directory, { recursive: true });
  }

  /** The configuration of a gateway that accepts the tokens. */
  get settings(): Members {
    const issuer = (issuer: string, file: string) => ({
      ...{ issuer, audience: AUDIENCE, keys_file: join(this.#directory, file) },
      algorithms: ["ES256"],
    });
    return {
      issuers: [issuer(ISSUER, "own.json"), issuer(OTHER_ISSUER, "others.json")],
      tokens_file: join(this.#directory, "tokens.json"),
    };
  }

  /** A token that may have everything, but for what a test says. */
  async token({ claims = {}, header = {}, key = this.own }: TokenParts = {}): Promise<string> {
    const { alg, kid } = key;
    const head = encoded({ alg, kid, typ: "at+jwt", ...header });
    return await signed(`${head}.${encoded(this.claims(claims))}`, key);
  }

  /** A token with these claims as they are written. */
  async tokenOfText(claims: string): Promise<string> {
    const { alg, kid } = this.own;
    return await signed(`${encoded({ alg, kid })}.${base64url(claims)}`, this.own);
  }

  /** A token whose signature anybody can make. */
  hmacToken(secret: string): string {
    const content = `${encoded({ alg: "HS256", kid: this.own.kid })}.${encoded(this.claims())}`;
    return `${content}.${createHmac("sha256", secret).update(content).digest("base64url")}`;
  }

  /** A token without a signature. */
  unsignedToken(alg: string): string {
    return `${encoded({ alg })}.${encoded(this.claims())}.`;
  }

  claims({ iat = -10, exp = 600, nbf, ...others }: Members = {}): Members {
    const now = Math.floor(Date.now() / 1000);
    const time = (seconds: unknown) => (typeof seconds === "number" ? now + seconds : undefined);
    return {
      ...{ iss: ISSUER, aud: AUDIENCE, sub: "ann" },
      ...{ iat: time(iat), exp: time(exp), nbf: time(nbf) },
      authorization_details: [{ type: "spillway", subjects: { allow: [">"] } }],
      ...others,
    };
  }
}

async function signed(content: string, { privateKey }: SigningKey): Promise<string> {
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const bytes = new TextEncoder().encode(content);
  const signature = await crypto.subtle.sign(algorithm, privateKey, bytes);
  return `${content}.${Buffer.from(signature).toString("base64url")}`;
}

function encoded(value: unknown): string {
  return base64url(JSON.stringify(value));
}

export function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}
