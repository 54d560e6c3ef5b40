import { z } from "zod";
import type { StartPoint } from "../../core/ports/source.ts";
import {
  DURABLE_NAME,
  isDurableName,
  MAX_PATTERNS,
  MAX_RATE,
} from "../../core/wire/client-frame.ts";
import { readStart } from "../../core/wire/start-point.ts";
import { givenName, policy, subjectPattern } from "./fields.ts";

const subscribe = z
  .object({
    type: z.literal("subscribe"),
    id: givenName("What the subscription is called from now on"),
    subjects: z
      .array(subjectPattern())
      .min(1)
      .max(MAX_PATTERNS)
      .meta({ description: `Which messages; at most ${MAX_PATTERNS} patterns.` }),
    policy: policy("What happens when this client lags; by default as configured.").optional(),
    max_rate: z
      .number()
      .positive()
      .max(MAX_RATE)
      .optional()
      .meta({
        description: `Messages per second of each subject, of those that come faster the latest: more than 0, at most ${MAX_RATE}. All without it.`,
      }),
    from: z
      .union([
        z.enum(["new", "all", "last", "last_per_subject"]),
        z.object({
          seq: z
            .int()
            .positive()
            .meta({ description: "The first message, by its sequence in the stream." }),
        }),
        z.object({
          time: z
            .string()
            .refine((time) => readStart({ time }) !== undefined, "a time as RFC 3339 has it")
            .meta({
              format: "date-time",
              description: "The first message is of this time or later.",
            }),
        }),
        z.object({ after: givenName("The id of the message behind which to continue") }),
      ])
      .optional()
      .meta({
        description:
          'Where to begin: behind a message, or in streams with all that is kept, the latest one, the latest of each subject, a sequence or a time. By default as configured, and that is "new": with what comes next.',
      }),
    mode: z.enum(["at-most-once", "at-least-once"]).optional().meta({
      description:
        'What the client counts on; another one than "welcome" says is refused. Without it, that one.',
    }),
    durable: z.string().refine(isDurableName, `"durable" ${DURABLE_NAME}`).optional().meta({
      description:
        "In at-least-once: the name of a durable of one stream, which goes on behind what was acknowledged under it, at whatever gateway. 1 to 64 of A-Z a-z 0-9 _ -.",
    }),
  })
  .meta({
    description: 'Asks for messages. The answer is "subscribed" or "error".',
    examples: [
      {
        type: "subscribe",
        id: "1",
        subjects: ["orders.>"],
        policy: "drop-oldest",
        max_rate: 10,
        from: { after: "a3f81c09b2d4:42" },
      },
    ],
  });

const unsubscribe = z
  .object({ type: z.literal("unsubscribe"), sub: givenName("The name of the subscription") })
  .meta({
    description: 'Ends a subscription. The answer is "unsubscribed" or "error".',
    examples: [{ type: "unsubscribe", sub: "1" }],
  });

const ping = z
  .object({ type: z.literal("ping"), id: givenName("What the pong repeats").optional() })
  .meta({ description: 'The answer is "pong".', examples: [{ type: "ping", id: "x" }] });

const messageId = z.string().meta({ description: "The id of a message." });

const messageIds = z.array(z.string()).meta({ description: "The ids of messages." });

const ack = z.object({ type: z.literal("ack"), id: messageId }).meta({
  description: "A message was taken in. Not answered; changes nothing in at-most-once.",
  examples: [{ type: "ack", id: "a3f81c09b2d4:42" }],
});

const ackIds = z.object({ type: z.literal("ack"), ids: messageIds }).meta({
  description: "Several messages were taken in. Otherwise as with one.",
  examples: [{ type: "ack", ids: ["a3f81c09b2d4:42", "a3f81c09b2d4:44"] }],
});

const ackUpto = z.object({ type: z.literal("ack"), upto: messageId }).meta({
  description:
    "A message, and all that were sent and lie before it in the same stream (or the gateway's run), were taken in. Otherwise as with one.",
  examples: [{ type: "ack", upto: "a3f81c09b2d4:42" }],
});

const nack = z.object({ type: z.literal("nack"), id: messageId }).meta({
  description:
    "A message could not be taken in, and comes again later. Not answered; changes nothing in at-most-once.",
  examples: [{ type: "nack", id: "a3f81c09b2d4:42" }],
});

const nackIds = z.object({ type: z.literal("nack"), ids: messageIds }).meta({
  description: "Several messages could not be taken in. Otherwise as with one.",
  examples: [{ type: "nack", ids: ["a3f81c09b2d4:42"] }],
});

const working = z.object({ type: z.literal("working"), id: messageId }).meta({
  description: "A message is being taken in, and has the whole time anew. Otherwise as with nack.",
  examples: [{ type: "working", id: "a3f81c09b2d4:42" }],
});

const workingIds = z.object({ type: z.literal("working"), ids: messageIds }).meta({
  description: "Several messages are being taken in. Otherwise as with one.",
  examples: [{ type: "working", ids: ["a3f81c09b2d4:42"] }],
});

const slow = z.object({ type: z.literal("slow") }).meta({
  description:
    "The client can't keep up: its rate is halved, and grows again when it does not say so any more. Not answered.",
  examples: [{ type: "slow" }],
});

const ok = z.object({ type: z.literal("ok") }).meta({
  description: "The client keeps up again, and gets what waits at once. Not answered.",
  examples: [{ type: "ok" }],
});

function beginOf(from: z.output<typeof subscribe>["from"]): { after?: string; start?: StartPoint } {
  if (from === undefined) return {};
  if (typeof from === "object" && "after" in from) return { after: from.after };
  const start = readStart(from);
  return start === undefined ? {} : { start };
}

/** What a plain client may say, by type. */
export const PLAIN_CLIENT_FRAMES = {
  ack,
  ack_ids: ackIds,
  ack_upto: ackUpto,
  nack,
  nack_ids: nackIds,
  working,
  working_ids: workingIds,
  slow,
  ok,
} as const;

/** What a client of `spillway.v1.json` may say. */
export const V1_CLIENT_FRAMES = { subscribe, unsubscribe, ping, ...PLAIN_CLIENT_FRAMES } as const;

/** Any frame of a plain client, read as the core reads it. */
export const plainClientFrame = z.union([
  z.union([ack, nack, working]).transform(({ type, id }) => ({ type, ids: [id] })),
  ackIds,
  nackIds,
  workingIds,
  ackUpto,
  slow,
  ok,
]);

/** Any frame of a client of `spillway.v1.json`, read as the core reads it. */
export const v1ClientFrame = z.union([
  subscribe.transform(({ type, id, subjects, policy, max_rate: maxRate, from, mode, durable }) => ({
    type,
    id,
    subjects,
    policy,
    maxRate,
    mode,
    durable,
    ...beginOf(from),
  })),
  unsubscribe,
  ping,
  plainClientFrame,
]);
