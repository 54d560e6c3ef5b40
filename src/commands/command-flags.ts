import type { Flag } from "../config/flags.ts";

/** The longest wait of a health check for the answer, by default. */
export const HEALTHCHECK_TIMEOUT = "2s";
/** The life of a made token, by default. */
export const TOKEN_TTL = "10m";
/** The type of a made token, by default. */
export const TOKEN_TYPE = "at+jwt";

/** The flag for output that programs read. */
export const JSON_FLAG: Flag = { name: "--json", about: "Prints JSON, for programs." };

export const SERVE_FLAGS: readonly Flag[] = [
  { name: "--check", about: "The same as the command check." },
  { name: "--hash-password", about: "The same as the command hash-password." },
];

export const CHECK_FLAGS: readonly Flag[] = [
  {
    name: "--connect",
    about: "Also logs in to NATS, for each account too, and looks for streams.",
  },
  JSON_FLAG,
];

export const HEALTHCHECK_FLAGS: readonly Flag[] = [
  {
    name: "--timeout",
    value: "duration",
    about: `How long to wait for the answer; by default ${HEALTHCHECK_TIMEOUT}.`,
  },
  JSON_FLAG,
];

export const TOKEN_MAKE_FLAGS: readonly Flag[] = [
  {
    name: "--key",
    value: "file",
    about: "A private key (PEM, JWK) or HS secret; by default on standard input.",
  },
  { name: "--sub", value: "name", about: "The name of the client. Required." },
  { name: "--allow", value: "subject", about: "A subject to receive; by default all." },
  { name: "--deny", value: "subject", about: "A subject that is denied." },
  {
    name: "--claim",
    value: "name=json",
    about: "Any other claim; a text needs no quotes.",
  },
  { name: "--ttl", value: "duration", about: `How long it is valid; by default ${TOKEN_TTL}.` },
  { name: "--iss", value: "text", about: "The issuer; by default the first of issuers." },
  { name: "--aud", value: "text", about: "The audience; by default the issuer's first." },
  { name: "--alg", value: "name", about: "The algorithm; by default one that fits the key." },
  { name: "--kid", value: "text", about: "The name of the key." },
  { name: "--typ", value: "text", about: `The type; by default ${TOKEN_TYPE}.` },
];

/** The gateway that `tail`, `top` and `bench` use by default. */
export const DEFAULT_URL = "http://localhost:8080";

const URL_FLAG: Flag = {
  name: "--url",
  value: "url",
  about: `The gateway; by default ${DEFAULT_URL}.`,
};

const TOKEN_FLAG: Flag = {
  name: "--token",
  value: "file",
  about: "A file with a token to show; - is the standard input.",
};

export const TAIL_FLAGS: readonly Flag[] = [
  URL_FLAG,
  TOKEN_FLAG,
  {
    name: "--from",
    value: "place",
    about: "new, all, last, last_per_subject, seq:<n>, time:<RFC 3339>, after:<id>.",
  },
  { name: "--count", value: "number", about: "Ends after so many messages." },
  { name: "--json", about: "Prints one JSON object a line, for programs." },
];

/** The time between two pictures of `top`, by default. */
export const TOP_INTERVAL = "2s";

export const TOP_FLAGS: readonly Flag[] = [
  { ...URL_FLAG, about: `The gateway, or its admin_port; by default ${DEFAULT_URL}.` },
  { ...TOKEN_FLAG, about: "A file with an operator's token; - is the standard input." },
  {
    name: "--sort",
    value: "word",
    about: "Sorts clients by lag (the default), bytes or id.",
  },
  {
    name: "--interval",
    value: "duration",
    about: `The time between two pictures; by default ${TOP_INTERVAL}.`,
  },
  { name: "--json", about: "Prints one snapshot as JSON, for programs." },
];

/** The load that `bench` makes, by default. */
export const BENCH = {
  clients: 100,
  rate: 50,
  size: 128,
  time: "10s",
  subject: "spillway.bench",
} as const;

export const BENCH_FLAGS: readonly Flag[] = [
  URL_FLAG,
  { ...TOKEN_FLAG, about: "A file with a token that clients show; - is the standard input." },
  { name: "--clients", value: "number", about: `By default ${BENCH.clients}.` },
  { name: "--rate", value: "number", about: `Messages per second; by default ${BENCH.rate}.` },
  { name: "--size", value: "bytes", about: `Bytes of a message; by default ${BENCH.size}.` },
  { name: "--time", value: "duration", about: `How long; by default ${BENCH.time}.` },
  { name: "--subject", value: "subject", about: `By default ${BENCH.subject}.` },
  {
    name: "--nats",
    value: "url",
    about: "Publishes to this NATS; by default by POST /publish to the gateway.",
  },
  {
    name: "--nats-creds-file",
    value: "file",
    about: "The credentials for that NATS.",
  },
  { name: "--allow-remote", about: "Loads other machines than this one." },
  JSON_FLAG,
];
