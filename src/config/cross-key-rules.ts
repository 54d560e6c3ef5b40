import type { z } from "zod";
import { carries, exposes } from "../core/subject/subject.ts";
import { AUTHENTICATORS } from "./access-keys.ts";
import { formatDuration } from "./duration.ts";
import type { Key, keys } from "./keys.ts";
import { shown } from "./problem.ts";
import { formatSize } from "./size.ts";
import { bucketSubject, KV_PREFIX, streamInputs } from "./stream-inputs.ts";

/** All keys with their checked values, durations in milliseconds. */
export type CheckedKeys = z.output<z.ZodObject<typeof keys>>;

/** A broken rule between several keys. */
export interface Fault {
  /** The key whose value the error names. */
  readonly key: Key;
  /** The place of the value in it. Default: the key itself. */
  readonly path?: readonly (string | number)[];
  readonly input: unknown;
  /** The other keys of the rule. */
  readonly beside: readonly Key[];
  /** Completes the sentence `"key" is … but …`. */
  readonly rule: string;
}

const LOGINS = [
  "nats_user",
  "nats_token",
  "nats_token_file",
  "nats_nkey_file",
  "nats_creds_file",
] as const;
const ONLY_WITH_NATS = [
  ...LOGINS,
  "nats_password",
  "nats_password_file",
  "nats_tls_ca_file",
  "nats_tls_cert_file",
  "nats_tls_key_file",
] as const;

/** The keys that need NATS, by `nats_url` or by a connection that the host hands in. */
export const NEED_NATS = [
  "streams",
  "authorizer_subject",
  "revocation_bucket",
  "revocation_subject",
  "presence_bucket",
] as const;

/** Whether a key has a value, and not only an empty list. */
export function isSet(value: unknown): boolean {
  return value !== undefined && !(Array.isArray(value) && value.length === 0);
}

/** Returns the broken rules between several keys. */
export function agreementFaults(keys: CheckedKeys): Fault[] {
  const faults: Fault[] = [];
  const fault = (key: Key, beside: readonly Key[], input: unknown, rule: string) => {
    faults.push({ key, beside, input, rule });
  };

  if (keys.ping_interval >= keys.read_timeout) {
    const limit = formatDuration(keys.read_timeout);
    const message = `must be shorter than "read_timeout" ("${limit}"), or every client that only listens is disconnected`;
    fault("ping_interval", ["read_timeout"], formatDuration(keys.ping_interval), message);
  }
  if (keys.low_water_bytes >= keys.high_water_bytes) {
    const message = `must be less than "high_water_bytes" ("${formatSize(keys.high_water_bytes)}")`;
    fault("low_water_bytes", ["high_water_bytes"], formatSize(keys.low_water_bytes), message);
  }
  if (keys.target_lag >= keys.max_lag) {
    const message = `must be less than "max_lag" ("${formatDuration(keys.max_lag)}")`;
    fault("target_lag", ["max_lag"], formatDuration(keys.target_lag), message);
  }
  if (keys.admin_port !== undefined && keys.admin_port > 0 && keys.admin_port === keys.port) {
    fault("admin_port", ["port"], keys.admin_port, 'must be another one than "port"');
  }
  if (keys.subjects.length === 0 && keys.streams.length === 0) {
    fault("subjects", ["streams"], keys.subjects, "must be a list of one or more NATS subjects");
  }
  const streams = streamInputs(keys.streams);
  for (const { name, subjects } of streams) {
    const twice = keys.subjects.find((one) => subjects.some((other) => exposes(other, one)));
    if (twice === undefined) continue;
    const message = `must not contain ${shown(twice)}: stream ${name} carries ${subjects.join(", ")}, so clients would get such messages twice`;
    fault("subjects", ["streams"], keys.subjects, message);
  }
  for (const key of ["ring_messages", "ring_bytes"] as const) {
    if (keys.streams.length === 0 || keys[key] > 0) continue;
    const message =
      'must not be 0 with "streams": a client that has caught up continues from there';
    fault(key, ["streams"], 0, message);
  }
  const { dead_letter_subject: deadLetters } = keys;
  const carried = [...keys.subjects, ...streams.flatMap(({ subjects }) => subjects)];
  if (carried.some((pattern) => deadLetters && carries(pattern, deadLetters))) {
    const message =
      'must not match "subjects" or a stream\'s subjects: clients would get the dead letters';
    fault("dead_letter_subject", ["subjects", "streams"], deadLetters, message);
  }
  for (const key of ["authorizer_subject", "revocation_subject"] as const) {
    const subject = keys[key];
    if (subject === undefined || !carried.some((pattern) => carries(pattern, subject))) continue;
    const message = `must not match "subjects" or a stream's subjects: clients could get its messages; a subject like "_AUTH.gateway" is carried by no wildcard`;
    fault(key, ["subjects", "streams"], subject, message);
  }
  for (const key of ["presence_bucket", "revocation_bucket"] as const) {
    const bucket = keys[key];
    if (bucket === undefined) continue;
    const all = bucketSubject(bucket);
    const opens = (pattern: string): boolean => exposes(pattern, all);
    if (carried.some(opens) || streams.some(({ name }) => name === `${KV_PREFIX}${bucket}`)) {
      const message = `must not be a bucket that "subjects" or "streams" carry: clients could read "${all}"`;
      fault(key, ["subjects", "streams"], bucket, message);
    }
    for (const opened of ["publish_subjects", "request_subjects"] as const) {
      if (!keys[opened].some(opens)) continue;
      const message = `must not be a bucket that "${opened}" opens: clients could write "${all}"`;
      fault(key, [opened], bucket, message);
    }
  }
  if (keys.presence_bucket !== undefined && keys.presence_bucket === keys.revocation_bucket) {
    const message = 'must not be the same as "revocation_bucket": each has keys of its own';
    fault("presence_bucket", ["revocation_bucket"], keys.presence_bucket, message);
  }
  const required = AUTHENTICATORS.find((key) => isSet(keys[key]));
  for (const key of ["publish_subjects", "request_subjects"] as const) {
    if (required === undefined || keys[key].length === 0) continue;
    const message = `must not be set with "${required}": what a client shows decides; "anonymous" is for clients that show nothing`;
    fault(key, [required], keys[key], message);
  }
  for (const [one, other] of [
    ["tls_cert_file", "tls_key_file"],
    ["tls_key_file", "tls_cert_file"],
    ["tls_client_ca_files", "tls_cert_file"],
    ["tls_client_names", "tls_client_ca_files"],
  ] as const) {
    if (!isSet(keys[one]) || isSet(keys[other])) continue;
    fault(one, [other], keys[one], `must not be set without "${other}"`);
  }
  if (keys.tls_min_version !== "1.2" && keys.tls_cert_file === undefined) {
    const message = 'must not be set without "tls_cert_file"';
    fault("tls_min_version", ["tls_cert_file"], keys.tls_min_version, message);
  }
  if (keys.admin_tokens_file !== undefined && keys.admin_port === undefined) {
    const message = 'must not be set without "admin_port"';
    fault("admin_tokens_file", ["admin_port"], keys.admin_tokens_file, message);
  }
  if (keys.publish === false && keys.publish_subjects.length > 0) {
    const message = 'must not be set with "publish": false, which turns publishing off';
    fault("publish_subjects", ["publish"], keys.publish_subjects, message);
  }
  faults.push(...accountFaults(keys));
  if (keys.nats_url.length === 0) {
    for (const key of ONLY_WITH_NATS) {
      if (keys[key] === undefined) continue;
      fault(key, ["nats_url"], keys[key], 'must not be set without "nats_url"');
    }
    return faults;
  }
  if (keys.publish === true) {
    const message =
      'must not be set with "nats_url": it opens all subjects; "publish_subjects" says what clients may publish to';
    fault("publish", ["nats_url"], true, message);
  }
  const login = LOGINS.find((key) => keys[key] !== undefined);
  if (login !== undefined && keys.nats_url.some(mayHaveLogin)) {
    const message = `must not be set with a login in "nats_url", which would be used instead`;
    fault(login, ["nats_url"], keys[login], message);
  }
  return [...faults, ...loginFaults(keys)];
}

/** The keys of a login. */
type Login = Partial<Pick<CheckedKeys, (typeof ONLY_WITH_NATS)[number]>>;

/** Returns the broken rules of one login. */
function loginFaults(login: Login): Fault[] {
  const faults: Fault[] = [];
  const fault = (key: keyof Login, beside: readonly (keyof Login)[], rule: string) => {
    faults.push({ key, beside, input: login[key], rule });
  };
  const [first, ...others] = LOGINS.filter((key) => login[key] !== undefined);
  for (const other of others) {
    fault(other, [first!], `must not be set with "${first}": use only one way to log in`);
  }
  for (const key of ["nats_password", "nats_password_file"] as const) {
    if (login[key] === undefined || login.nats_user !== undefined) continue;
    fault(key, ["nats_user"], 'must not be set without "nats_user"');
  }
  if (login.nats_password !== undefined && login.nats_password_file !== undefined) {
    const rule = 'must not be set with "nats_password": use one of them';
    fault("nats_password_file", ["nats_password"], rule);
  }
  for (const [one, other] of [
    ["nats_tls_cert_file", "nats_tls_key_file"],
    ["nats_tls_key_file", "nats_tls_cert_file"],
  ] as const) {
    if (login[one] === undefined || login[other] !== undefined) continue;
    fault(one, [other], `must not be set without "${other}"`);
  }
  return faults;
}

/** Returns the broken rules of the accounts: each must be an account of its own. */
function accountFaults(keys: CheckedKeys): Fault[] {
  const { accounts, nats_url: defaultUrls, anonymous = [] } = keys;
  const faults: Fault[] = [];
  const before: NamedConnection[] = [];
  if (defaultUrls.length > 0) before.push({ ...keys, title: 'the connection of "nats_url"' });
  for (const [index, account] of accounts.entries()) {
    const { name, nats_url: urls = [] } = account;
    const fault = (field: keyof typeof account, beside: readonly Key[], rule: string) => {
      const path = [index, field];
      faults.push({ key: "accounts", path, beside, input: account[field], rule });
    };
    if (accounts.findIndex((other) => other.name === name) < index) {
      fault("name", [], "must not be the name of another account");
    }
    for (const { key, rule } of loginFaults(account)) fault(key as keyof Login, [], rule);
    const urlRule = accountUrlRule(account, defaultUrls);
    if (urlRule !== undefined) {
      fault("nats_url", ["nats_url"], urlRule);
      continue;
    }
    const title = `account "${name}"`;
    const connection = { ...account, nats_url: urls.length > 0 ? urls : defaultUrls, title };
    const twin = before.find((other) => isSameAccount(connection, other));
    if (twin !== undefined) {
      const rule = `must have another login or nats_url than ${twin.title}: their clients would see each other's messages`;
      fault("name", ["nats_url"], rule);
    }
    before.push(connection);
  }
  const known = accounts.map(({ name }) => name);
  for (const [index, { account }] of anonymous.entries()) {
    if (account === undefined || known.includes(account)) continue;
    const rule = 'must be the name of one of "accounts"';
    const path = [index, "account"];
    faults.push({ key: "anonymous", path, beside: ["accounts"], input: account, rule });
  }
  return faults;
}

/** Returns why an account needs a `nats_url` of its own; `undefined`: it has one, or needs none. */
function accountUrlRule(
  account: CheckedKeys["accounts"][number],
  defaultUrls: readonly string[],
): string | undefined {
  const { name, nats_url: urls = [] } = account;
  if (urls.length > 0) return undefined;
  if (defaultUrls.length === 0) return 'must be set, as "nats_url" is not';
  if (defaultUrls.some(mayHaveLogin)) {
    return 'must be set: the URLs of "nats_url" have a login, which would be used instead';
  }
  if (ACCOUNT_LOGINS.some((key) => account[key])) return undefined;
  return `must be set, or a login: account "${name}" would be the same as without it`;
}

/** The keys by which NATS knows whose connection it is. */
const ACCOUNT_LOGINS = [...LOGINS, "nats_tls_cert_file"] as const;

/** A connection to NATS, and its name in errors. */
interface NamedConnection extends Login {
  readonly nats_url: readonly string[];
  readonly title: string;
}

/** Whether two connections are surely of one account of NATS: they log in to one server as the same user. */
function isSameAccount(one: NamedConnection, other: NamedConnection): boolean {
  return (
    one.nats_url.some((url) => other.nats_url.includes(url)) &&
    ACCOUNT_LOGINS.every((key) => one[key] === other[key])
  );
}

/** Whether a URL may have a login: `user:password@`, or a query. */
export function mayHaveLogin(url: string): boolean {
  return /[@?]/.test(url);
}
