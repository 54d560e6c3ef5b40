import type { z } from "zod";
import { carries, exposes } from "../core/subject/subject.ts";
import { AUTHENTICATORS } from "./access-keys.ts";
import { formatDuration } from "./duration.ts";
import type { Key, keys } from "./keys.ts";
import { shown } from "./problem.ts";
import { formatSize } from "./size.ts";
import { streamInputs } from "./stream-inputs.ts";

/** All keys with their checked values, durations in milliseconds. */
export type CheckedKeys = z.output<z.ZodObject<typeof keys>>;

/** A broken rule between several keys. */
export interface Fault {
  /** The key whose value the error names. */
  readonly key: Key;
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
  const [login, ...others] = LOGINS.filter((key) => keys[key] !== undefined);
  for (const other of others) {
    const message = `must not be set with "${login}": use only one way to log in`;
    fault(other, login ? [login] : [], keys[other], message);
  }
  for (const key of ["nats_password", "nats_password_file"] as const) {
    if (keys[key] === undefined || keys.nats_user !== undefined) continue;
    fault(key, ["nats_user"], keys[key], 'must not be set without "nats_user"');
  }
  if (keys.nats_password !== undefined && keys.nats_password_file !== undefined) {
    const message = 'must not be set with "nats_password": use one of them';
    fault("nats_password_file", ["nats_password"], keys.nats_password_file, message);
  }
  for (const [one, other] of [
    ["nats_tls_cert_file", "nats_tls_key_file"],
    ["nats_tls_key_file", "nats_tls_cert_file"],
  ] as const) {
    if (keys[one] !== undefined && keys[other] === undefined) {
      fault(one, [other], keys[one], `must not be set without "${other}"`);
    }
  }
  return faults;
}
