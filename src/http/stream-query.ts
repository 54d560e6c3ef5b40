import { z } from "zod";
import { subjectFault, withoutCovered } from "../core/subject/subject.ts";
import {
  DURABLE_NAME,
  isDurableName,
  MAX_ID_LENGTH,
  MAX_PATTERNS,
  MAX_RATE,
} from "../core/wire/client-frame.ts";
import { POLICIES } from "../core/wire/policy.ts";
import { readStartText } from "../core/wire/start-point.ts";
import { nearest } from "../text/nearest.ts";

/** The name of a session is a secret: whoever knows it gets its messages. */
const SESSION = /^[A-Za-z0-9_-]{16,128}$/;

const RATE = `"max_rate" must be more than 0 and at most ${MAX_RATE} messages per second`;

const START = '"from" must be new, all, last, last_per_subject, seq:<n> or time:<RFC 3339>';

const subjectList = z
  .string('"subjects" may stand once; it takes several, parted by commas')
  .transform((list) => list.split(",").map((subject) => subject.trim()))
  .superRefine((subjects, context) => {
    if (subjects.length > MAX_PATTERNS) {
      context.addIssue({ code: "custom", message: `"subjects" may name ${MAX_PATTERNS} at most` });
    }
    for (const subject of subjects) {
      const fault = subjectFault(subject, true);
      if (fault !== undefined) {
        context.addIssue({ code: "custom", message: `subject "${subject}" ${fault}` });
      }
    }
  });

/** What is served of them. */
export const streamParameters = z.object({
  subjects: subjectList
    // Nobody needs what another one covers.
    .transform(withoutCovered)
    .optional()
    .meta({
      description: `Only these subjects, parted by commas, at most ${MAX_PATTERNS}; "*" and ">" are wildcards. All that the endpoint exposes without it.`,
    }),
  after: z
    .string('"after" may stand once')
    .min(1, '"after" must be the id of a message')
    .max(MAX_ID_LENGTH, '"after" must be the id of a message')
    .optional()
    .meta({ description: "The id of the message behind which to continue." }),
  from: z
    .string()
    .transform((from, context) => {
      const start = readStartText(from);
      if (start === undefined) context.addIssue({ code: "custom", message: START });
      return start;
    })
    .optional()
    .meta({
      description:
        "Where to begin in streams: new, all, last, last_per_subject, seq:<n>, or time:<RFC 3339>; by default as configured.",
    }),
  policy: z
    .enum(POLICIES, `"policy" must be one of ${POLICIES.join(", ")}`)
    .optional()
    .meta({ description: "What happens when this client lags; by default as configured." }),
  max_rate: z.coerce
    .number(RATE)
    .positive(RATE)
    .max(MAX_RATE, RATE)
    .optional()
    .meta({
      description: `Messages per second of each subject, of those that come faster the latest: more than 0, at most ${MAX_RATE}.`,
    }),
});

/** In at-least-once, and on WebSockets only, where messages can be acknowledged. */
export const sessionParameter = z
  .string('"session" may stand once')
  .regex(SESSION, '"session" must be 16 to 128 of A-Z a-z 0-9 _ -')
  .optional()
  .meta({
    description:
      "In at-least-once: the name under which what is not acknowledged is kept when the connection ends, and to which a client comes back. Its own choice, 16 to 128 of A-Z a-z 0-9 _ -, and nobody else may know it; in spillway.v1.json that of an earlier welcome.",
  });

/** The same: what comes is kept by JetStream, and not by the gateway. */
export const durableParameter = z
  .string('"durable" may stand once')
  .refine(isDurableName, `"durable" ${DURABLE_NAME}`)
  .optional()
  .meta({
    description:
      "In at-least-once: the name of a durable of one stream, which goes on behind what was acknowledged under it, at whatever gateway. 1 to 64 of A-Z a-z 0-9 _ -.",
  });

const KNOWN: readonly string[] = [...Object.keys(streamParameters.shape), "session", "durable"];

/**
 * What a plain client, or one of server-sent events, says in the query. Parameters that are one letter off are refused: who
 * writes `subject` for `subjects` would get all of them. Others are left to whoever put them there.
 */
export const streamQuery = z
  .looseObject({
    ...streamParameters.shape,
    session: sessionParameter,
    durable: durableParameter,
  })
  .superRefine((query, context) => {
    for (const name of Object.keys(query)) {
      const near = KNOWN.includes(name) ? undefined : nearest(name, KNOWN, 1);
      if (near === undefined) continue;
      const message = `"${name}" is not a parameter; did you mean "${near}"?`;
      context.addIssue({ code: "custom", message });
    }
  });
