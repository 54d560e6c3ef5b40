import { z } from "zod";
import { count, cursor } from "./fields.ts";

/** A message, as it is in every dialect. */
export const dataFrame = z
  .object({
    type: z.literal("data"),
    id: cursor("The cursor behind which one can resume"),
    timestamp: count(
      "When the gateway received the message, or JetStream stored it, in Unix milliseconds.",
    ),
    subject: z.string().meta({ description: "The NATS subject that it was published to." }),
    encoding: z.enum(["text", "base64", "empty"]).exactOptional().meta({
      description:
        'What "payload" is where the data is not JSON: "text" a string, "base64" other bytes (RFC 4648, section 4), "empty" null.',
    }),
    operation: z.enum(["delete", "purge"]).exactOptional().meta({
      description: "Of a key-value bucket: the key has no value any more.",
    }),
    headers: z.record(z.string(), z.array(z.string())).exactOptional().meta({
      description:
        'The NATS headers on the configured list "headers", where there are any; each has one value or more.',
    }),
    superseded: z.int().min(1).exactOptional().meta({
      description:
        "How many earlier values of its subject this one stands for, where it was conflated.",
    }),
    redelivery: z.int().min(1).exactOptional().meta({
      description: "How often it was sent to this client before, in at-least-once.",
    }),
    payload: z.unknown().meta({
      description:
        "The data: JSON byte for byte, but a raw newline between tokens is a space. Integers may be beyond 2^53.",
    }),
  })
  .meta({
    description: "A message of NATS.",
    examples: [
      {
        type: "data",
        id: "a3f81c09b2d4:42",
        timestamp: 1_732_300_000_000,
        subject: "orders.eu.17",
        payload: { n: 1 },
      },
    ],
  });
