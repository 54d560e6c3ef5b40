import { issuer, permissionRule } from "./access-values.ts";
import { literalSubject, subjectPattern } from "./address.ts";
import { key } from "./key-facts.ts";
import {
  anyText,
  boolean,
  duration,
  list,
  objects,
  someObjects,
  text,
  timeout,
} from "./value-schemas.ts";

/** The keys that make clients show who they are, when they are set. */
export const AUTHENTICATORS = [
  "tokens_file",
  "passwords_file",
  "issuers",
  "authorizer_subject",
] as const;

/** The keys of who may connect, and of what each client may do. */
export const accessKeys = {
  tokens_file: key(
    "advanced",
    "A JSON file with the SHA-256 hashes of tokens, each with what its client may do. It is read again when it changes.",
    anyText("the path of a file").optional(),
  ),
  passwords_file: key(
    "advanced",
    "A JSON file with users and their hashed passwords, for clients that log in by HTTP Basic. It is read again when it changes.",
    anyText("the path of a file").optional(),
  ),
  issuers: key(
    "advanced",
    "The issuers of JSON Web Tokens that are accepted: issuer, audience, jwks_url or keys_file, and optionally algorithms, types and max_token_age.",
    someObjects(
      issuer(),
      "objects with issuer, audience, and jwks_url or keys_file",
      "without one, clients would need no token; leave the key out for that",
    ).optional(),
  ),
  clock_tolerance: key(
    "advanced",
    "The maximum difference between the clocks of issuers and ours.",
    duration("0s", "5m").prefault("10s"),
  ),
  max_token_age: key(
    "advanced",
    "The maximum lifetime of a JSON Web Token, from its issue to its expiry; a token that lives longer is refused. An issuer may have its own.",
    duration("1s", "2400h").prefault("24h"),
  ),
  authorizer_subject: key(
    "advanced",
    'The NATS subject of a service that decides who clients are. Its requests contain what clients show, so it must not be one of subjects; a subject like "_AUTH.gateway" never is.',
    literalSubject().optional(),
  ),
  authorizer_timeout: key(
    "advanced",
    "The time limit for an answer of the service at authorizer_subject, or of the hook authorize of the library; after that the client is answered 503.",
    timeout().prefault("2s"),
  ),
  token_cookie: key(
    "advanced",
    'The name of a cookie with a token, best with the prefix "__Host-". It counts only for pages of the gateway\'s own origin and of allowed_origins.',
    text(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/, "the name of a cookie").optional(),
  ),
  allow_query_token: key(
    "advanced",
    "Accepts tokens in the query (?access_token=<token>). URLs end up in logs and histories of browsers and proxies, so it is off by default.",
    boolean().prefault(false),
  ),
  anonymous: key(
    "advanced",
    "The permissions of clients that show no token, in the shape of authorization_details. By default they are refused if any authenticator is configured.",
    objects(permissionRule(), 'objects like {"subjects": {"allow": ["news.>"]}}').optional(),
  ),
  auth_timeout: key(
    "advanced",
    "The time in which a client of spillway.v1.json that connected without a token must send one in an auth frame.",
    timeout().prefault("5s"),
  ),
  revocation_bucket: key(
    "advanced",
    "The key-value bucket in NATS with revoked tokens and users.",
    text(/^[A-Za-z0-9_-]{1,64}$/, "a bucket's name: 1 to 64 of A-Z a-z 0-9 _ -").optional(),
  ),
  revocation_subject: key(
    "advanced",
    "The NATS subject of revocations, for NATS servers without JetStream: only clients that are connected when a message arrives lose access. It must not be one of subjects.",
    literalSubject().optional(),
  ),
  publish_subjects: key(
    "advanced",
    "The subjects that clients may publish to, if no authenticator is configured. With one, what a client shows decides. Without nats_url the default is all of subjects.",
    list(subjectPattern(), "NATS subjects").prefault([]),
  ),
  request_subjects: key(
    "advanced",
    "The subjects that clients may send requests to, if no authenticator is configured. With one, what a client shows decides.",
    list(subjectPattern(), "NATS subjects").prefault([]),
  ),
};
