import { z } from "zod";
import { ALGORITHMS, type Algorithm, isSymmetric } from "../access/algorithms.ts";
import { ACTIONS } from "../access/permissions.ts";
import { START_KINDS } from "../core/access/grant.ts";
import { POLICIES } from "../protocol/fields.ts";
import { subjectPattern } from "./address.ts";
import { anyText, choice, duration, integer, list, stating, text } from "./value-schemas.ts";

/** The algorithms of an issuer that names none: their keys are public. */
const DEFAULT_ALGORITHMS: Algorithm[] = ["RS256", "PS256", "ES256", "EdDSA"];

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** The URL of a JSON Web Key Set. Who can change the keys can make tokens, so it needs TLS, except on this machine. */
function keySetUrl() {
  const limits = 'a URL that begins with "https://", or with "http://localhost"';
  const error = `must be ${limits}, without user, password and fragment`;
  const schema = z.string({ error }).refine(
    (given) => {
      if (!URL.canParse(given) || /\s/.test(given)) return false;
      const { protocol, hostname, username, password, hash } = new URL(given);
      if (username !== "" || password !== "" || hash !== "") return false;
      return protocol === "https:" || (protocol === "http:" && LOOPBACK.includes(hostname));
    },
    { error },
  );
  return stating(schema, "text", limits);
}

function oneOrMore<E extends z.ZodType>(element: E, limits: string) {
  const error = `must be ${limits}`;
  return z.union(
    [element.transform((one) => [one]), z.array(element, { error }).min(1, { error })],
    {
      error,
    },
  );
}

/** An issuer of JSON Web Tokens. */
export function issuer() {
  const limits = "an object with issuer, audience, and jwks_url or keys_file";
  const fields = {
    issuer: anyText('the issuer, as in the claim "iss"'),
    audience: oneOrMore(
      anyText(),
      'the audience of this gateway, as in the claim "aud", or a list',
    ),
    jwks_url: keySetUrl().optional(),
    keys_file: anyText("the path of a file with a JSON Web Key Set, or a key in PEM").optional(),
    algorithms: list(choice(ALGORITHMS), "algorithms")
      .min(1, {
        error: "must be a list of one or more algorithms",
      })
      .prefault(DEFAULT_ALGORITHMS),
    types: list(text(/^[!-~]{1,100}$/, 'a type, as in "typ"'), "types")
      .min(1, { error: "must be a list of one or more types" })
      .prefault(["at+jwt", "JWT"]),
    max_token_age: duration("1s", "2400h").optional(),
  };
  return z
    .strictObject(fields, { error: objectError(limits) })
    .superRefine(({ jwks_url, keys_file, algorithms }, context) => {
      const fault = (field: string, input: unknown, message: string): void =>
        context.addIssue({ code: "custom", path: [field], input, message });
      if (jwks_url === undefined && keys_file === undefined) {
        fault("jwks_url", undefined, 'must be set, or "keys_file": one of them has the keys');
      }
      if (jwks_url !== undefined && keys_file !== undefined) {
        fault("keys_file", keys_file, 'must not be set with "jwks_url": use one of them');
      }
      const shared = algorithms.find((name) => isSymmetric(name));
      if (shared !== undefined && jwks_url !== undefined) {
        const message = `must not contain "${shared}" with "jwks_url": its key is a secret, which only "keys_file" can have`;
        fault("algorithms", algorithms, message);
      }
      const publicOnes = algorithms.filter((name) => !isSymmetric(name));
      if (shared !== undefined && publicOnes.length > 0) {
        const message = `must not mix "${shared}" with "${publicOnes[0]}": a public key could be taken for a secret`;
        fault("algorithms", algorithms, message);
      }
    })
    .transform(({ jwks_url, keys_file, max_token_age, ...others }) => ({
      ...others,
      jwksUrl: jwks_url,
      keysFile: keys_file,
      maxTokenAgeMs: max_token_age,
    }));
}

/** What a client may do, in the shape of an `authorization_details` entry of a token (RFC 9396). */
export function permissionRule() {
  const limits = 'an object like {"subjects": {"allow": ["news.>"]}}';
  const patterns = () => list(subjectPattern(), "NATS subjects");
  return z.strictObject(
    {
      type: choice(["spillway"]).optional(),
      account: anyText("the name of an account").optional(),
      actions: list(choice(ACTIONS), "actions").optional(),
      subjects: z.strictObject(
        { allow: patterns().optional(), deny: patterns().optional() },
        { error: objectError("an object with allow, deny or both") },
      ),
      policies: list(choice(POLICIES), "policies").optional(),
      max_rate: integer(1, 1_000_000).optional(),
      max_subscriptions: integer(1, 10_000).optional(),
      from: list(choice(START_KINDS), "start points").optional(),
      durables: list(anyText(), "names of durables").optional(),
    },
    { error: objectError(limits) },
  );
}

function objectError(limits: string) {
  return ({ code }: { readonly code?: string }): string | undefined =>
    code === "unrecognized_keys" ? undefined : `must be ${limits}`;
}
