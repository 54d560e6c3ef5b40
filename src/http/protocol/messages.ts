import { z } from "zod";
import { PLAIN_CLIENT_FRAMES, V1_CLIENT_FRAMES } from "./client-frames.ts";
import { dataFrame } from "./data-frame.ts";
import { SERVER_FRAMES } from "./server-frames.ts";

/** Frames of the protocol, by the names that their messages have in the document. */
export type Frames = Readonly<Record<string, z.ZodType>>;

/** Every message there is; both sides have a `slow` and an `ok` of their own. */
export const MESSAGES: Frames = {
  data: dataFrame,
  ...named("server", SERVER_FRAMES),
  ...named("client", V1_CLIENT_FRAMES),
};

/** What of them comes and goes in each dialect. */
export const DIALECT_MESSAGES = {
  plain: { sent: ["data"], received: Object.keys(named("client", PLAIN_CLIENT_FRAMES)) },
  v1: {
    sent: ["data", ...Object.keys(named("server", SERVER_FRAMES))],
    received: Object.keys(named("client", V1_CLIENT_FRAMES)),
  },
  // Nobody can ask for anything there, so what only answers is missing.
  sse: {
    sent: [
      "data",
      ...Object.keys(named("server", SERVER_FRAMES)).filter(
        (name) => name !== "server.unsubscribed" && name !== "server.pong",
      ),
    ],
    received: [],
  },
} as const;

function named(side: "server" | "client", frames: Frames): Frames {
  return Object.fromEntries(
    Object.entries(frames).map(([name, frame]) => [`${side}.${name}`, frame]),
  );
}

/**
 * A schema as a peer sees it: as JSON Schema draft 7, of which AsyncAPI's schema object is a superset.
 * Of what is read, it says what may be written; unknown fields are allowed everywhere.
 */
export function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input", target: "draft-7" });
  return rest;
}

/** All messages as AsyncAPI's message objects. Making them takes milliseconds. */
export function describeMessages(): object {
  return Object.fromEntries(
    Object.entries(MESSAGES).map(([name, frame]) => [name, messageOf(frame)]),
  );
}

function messageOf(frame: z.ZodType): object {
  const { examples, ...payload } = jsonSchemaOf(frame);
  const type = (payload.properties as { type: { const: string } }).type.const;
  return {
    name: type,
    summary: payload.description,
    contentType: "application/json",
    payload,
    examples: (examples as unknown[]).map((example) => ({ payload: example })),
  };
}
