/** Parameters of the query: of a WebSocket's handshake, and of the request for server-sent events. */
import type { DialectName } from "./dialects.ts";
import {
  durableName,
  MAX_CURSOR_LENGTH,
  MAX_PATTERNS,
  MAX_RATE,
  maxRate,
  POLICIES,
  type Policy,
  policy,
  startPoint,
  type WireStart,
} from "./fields.ts";
import { type JsonSchema, validator } from "./schema.ts";
import { subjectFault } from "./subject.ts";

/** What is wrong with a parameter, in words for whoever wrote the client. */
export class ParameterFault {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

export interface Parameter<T> {
  /** As it stands in the query. */
  readonly example: string;
  readonly dialects: readonly DialectName[];
  readonly description: string;
  readonly json: JsonSchema;
  /** Whether it may stand several times; it is then read each time. */
  readonly repeats?: true;
  read(text: string): T | ParameterFault;
}

const PLAIN_AND_EVENTS = ["plain", "sse"] as const;

/** Reads a text that its schema describes. */
function textOr(json: JsonSchema, message: string): (text: string) => string | ParameterFault {
  const isValid = validator(json);
  return (text) => (isValid(text) ? text : new ParameterFault(message));
}

const AFTER = { type: "string", minLength: 1, maxLength: MAX_CURSOR_LENGTH } as const;

/** The name of a session is a secret: whoever knows it gets its messages. */
const SESSION = { type: "string", pattern: "^[A-Za-z0-9_-]{16,128}$" } as const;

function readSubject(text: string): string | ParameterFault {
  const fault = subjectFault(text, true);
  return fault === undefined ? text : new ParameterFault(`subject "${text}" ${fault}`);
}

const subjects: Parameter<readonly string[]> = {
  example: "subjects=a.>,b.*",
  dialects: PLAIN_AND_EVENTS,
  description: `The subjects to get, separated by commas. With those of \`subject\`, at most ${MAX_PATTERNS}. If the endpoint carries nothing of one of them, the answer is 403. Default: all subjects of the endpoint.`,
  json: { type: "string" },
  read(text) {
    const subjects = text.split(",").map((subject) => subject.trim());
    if (subjects.length > MAX_PATTERNS) {
      return new ParameterFault(`"subjects" may list at most ${MAX_PATTERNS}`);
    }
    for (const subject of subjects) {
      const read = readSubject(subject);
      if (read instanceof ParameterFault) return read;
    }
    return subjects;
  },
};

const subject: Parameter<string> = {
  example: "subject=a,b",
  dialects: PLAIN_AND_EVENTS,
  description:
    "One subject to get, which may have commas in it. It may stand several times, and beside `subjects`.",
  json: { type: "array", items: { type: "string" } },
  repeats: true,
  read: readSubject,
};

const after: Parameter<string> = {
  example: "after=<id>",
  dialects: PLAIN_AND_EVENTS,
  description:
    "Resumes after the message with this `id`. A browser's `EventSource` sends the `id` by itself, in `Last-Event-ID`.",
  json: AFTER,
  read: textOr(AFTER, '"after" must be the id of a message'),
};

const isStart = validator(startPoint.json);

const from: Parameter<WireStart> = {
  example: "from=all",
  dialects: PLAIN_AND_EVENTS,
  description:
    "Where to begin in streams: `new`, `all`, `last`, `last_per_subject`, `seq:<n>` or `time:<RFC 3339>`. Default: the configured `start_from`. `after` takes precedence.",
  json: { type: "string" },
  read(text) {
    const [, kind, value = ""] = /^(seq|time):(.*)$/.exec(text) ?? [];
    const start =
      kind === undefined
        ? text
        : kind === "time"
          ? { time: value }
          : { seq: /^\d{1,16}$/.test(value) ? Number(value) : 0 };
    return isStart(start)
      ? (start as WireStart)
      : new ParameterFault(
          '"from" must be new, all, last, last_per_subject, seq:<n> or time:<RFC 3339>',
        );
  },
};

const policyParameter: Parameter<Policy> = {
  example: "policy=conflate",
  dialects: PLAIN_AND_EVENTS,
  description: "What happens if this client lags. Default: the configured `policy`.",
  json: policy("").json,
  read: textOr(policy("").json, `"policy" must be one of ${POLICIES.join(", ")}`) as (
    text: string,
  ) => Policy | ParameterFault,
};

const isRate = validator(maxRate.json);

const maxRateParameter: Parameter<number> = {
  example: "max_rate=10",
  dialects: PLAIN_AND_EVENTS,
  description: maxRate.json.description ?? "",
  json: maxRate.json,
  read(text) {
    const rate = Number(text);
    return isRate(rate)
      ? rate
      : new ParameterFault(
          `"max_rate" must be more than 0 and at most ${MAX_RATE} messages per second`,
        );
  },
};

const session: Parameter<string> = {
  example: "session=<name>",
  dialects: ["plain", "v1"],
  description:
    "In at-least-once: the session that this client begins or resumes. After its connection ends, unacknowledged messages are kept under this name. A plain client chooses the name, and keeps it secret; a client of `spillway.v1.json` sends the name from an earlier `welcome`. 16 to 128 of `A-Z a-z 0-9 _ -`.",
  json: SESSION,
  read: textOr(SESSION, '"session" must be 16 to 128 of A-Z a-z 0-9 _ -'),
};

const durable: Parameter<string> = {
  example: "durable=<name>",
  dialects: ["plain"],
  description: durableName.json.description ?? "",
  json: durableName.json,
  read: textOr(durableName.json, '"durable" is 1 to 64 of A-Z a-z 0-9 _ -'),
};

/** In the order in which they are checked. */
export const PARAMETERS = {
  subjects,
  subject,
  after,
  from,
  policy: policyParameter,
  max_rate: maxRateParameter,
  session,
  durable,
} as const;

export type ParameterName = keyof typeof PARAMETERS;

/** The parameters of a query; those that it doesn't have are absent. `subjects` has each `subject`, too. */
export type StreamQuery = {
  readonly [Name in Exclude<
    ParameterName,
    "subject"
  >]?: (typeof PARAMETERS)[Name] extends Parameter<infer T> ? T : never;
};
