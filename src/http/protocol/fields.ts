import { z } from "zod";
import { MAX_SUBJECT_BYTES, MAX_TOKENS, subjectFault } from "../../core/subject/subject.ts";
import { MAX_ID_LENGTH } from "../../core/wire/client-frame.ts";
import { POLICIES } from "../../core/wire/policy.ts";

/**
 * Tokens of anything but white space and control characters, parted by dots; a whole `>` is the last.
 * The same as `subjectFault` says of a subject with wildcards, in words that JSON Schema has.
 */
const TOKEN = String.raw`(?!>\.)[^\u0000-\u0020\u007f.]+`;
const SUBJECT = new RegExp(String.raw`^${TOKEN}(?:\.${TOKEN}){0,${MAX_TOKENS - 1}}$`);

/** A text that a client makes up, and is told again. */
export function givenName(description: string) {
  return z
    .string()
    .min(1)
    .max(MAX_ID_LENGTH)
    .meta({ description: `${description}; 1 to ${MAX_ID_LENGTH} UTF-16 code units.` });
}

/** A subject that may have wildcards. */
export function subjectPattern() {
  // Bytes, and halves of surrogate pairs, are beyond JSON Schema.
  const isSubject = (text: string): boolean => subjectFault(text, true) === undefined;
  return z
    .string()
    .max(MAX_SUBJECT_BYTES)
    .regex(SUBJECT)
    .refine(isSubject)
    .meta({
      description: `A NATS subject of at most ${MAX_SUBJECT_BYTES} bytes in UTF-8 and ${MAX_TOKENS} tokens; a whole "*" stands for one token, a whole ">" at the end for one or more.`,
    });
}

/** The place of a message among all. */
export function cursor(description: string) {
  return z.string().meta({ description: `${description}; opaque.` });
}

export function policy(description: string) {
  return z.enum(POLICIES).meta({ description });
}

/** Whole and not negative. */
export function count(description: string) {
  return z.int().min(0).meta({ description });
}
