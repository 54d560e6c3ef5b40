import { z } from "zod";
import { hostName, portNumber, subjectPattern, urlPath } from "./address.ts";
import { anyText, boolean, choice, text } from "./value.ts";

/**
 * StreamKit's `ports`, in its two spellings: untyped (`type` and `subject` beside the name) and
 * typed (`config` with a `kind`). The key names are those of its Go structs `PortDefinition`,
 * `NATSPort` and `NetworkPort`.
 */

const NO_JETSTREAM =
  'must be "nats": JetStream is not built yet, and replay and acknowledgements would silently be missing; "nats" carries the same subjects live';

/** What an output may be called: all of them are one HTTP listener with a WebSocket on it. */
const LISTENERS = ["network", "http", "websocket", "websocket-server"] as const;

/** Scheme, then the groups `v6`, `host`, `port` and `path`, each of which may be missing. */
export const LISTENER_URL =
  /^(?:http|ws):\/\/(?:\[(?<v6>[^\]]*)\]|(?<host>[^\s:/?#@[\]]*))(?::(?<port>\d*))?(?<path>\/[^\s?#]*)?$/;

const object = { error: "must be an object" };

/** What messages are: a description for other tools, that changes nothing here. */
function contract() {
  const named = z.strictObject({ type: anyText(), version: anyText().optional() }, object);
  return z
    .union([anyText(), named], { error: 'must be a text or an object with "type"' })
    .optional();
}

function inputKind() {
  return choice(["nats", "jetstream"], { jetstream: NO_JETSTREAM });
}

const common = {
  name: anyText().optional(),
  required: boolean().optional(),
  description: z.string({ error: "must be a text" }).optional(),
  interface: contract(),
};

const inputPort = z
  .strictObject(
    {
      ...common,
      direction: choice(["input"]).optional(),
      type: inputKind().optional(),
      subject: subjectPattern().optional(),
      config: z
        .strictObject(
          { kind: inputKind(), subject: subjectPattern(), interface: contract() },
          object,
        )
        .optional(),
    },
    object,
  )
  .refine(...eitherSubjectOrConfig());

const outputPort = z
  .strictObject(
    {
      ...common,
      direction: choice(["output"]).optional(),
      type: choice(LISTENERS).optional(),
      subject: text(
        LISTENER_URL,
        'a URL like "http://0.0.0.0:8081/ws", without TLS (a proxy in front does that)',
      ).optional(),
      config: z
        .strictObject(
          {
            kind: choice(["network"]),
            protocol: choice(["http", "ws", "websocket", "tcp"]).optional(),
            host: hostName().optional(),
            port: portNumber().optional(),
            path: urlPath().optional(),
          },
          object,
        )
        .optional(),
    },
    object,
  )
  .refine(...eitherSubjectOrConfig());

export const portsSchema = z.strictObject(
  {
    inputs: z.array(inputPort, { error: "must be a list of ports" }).optional(),
    outputs: z
      .array(outputPort, { error: "must be a list of ports" })
      .max(1, { error: "must be a list of one: a gateway listens in one place" })
      .optional(),
  },
  object,
);

export type Ports = z.output<typeof portsSchema>;

/** The keys that are known at a path in `ports`. */
export function knownPortKeys(path: readonly PropertyKey[]): string[] {
  let schema: z.core.$ZodType = portsSchema;
  for (const step of path) {
    schema = bare(schema);
    if (schema instanceof z.ZodArray) schema = schema.element;
    else if (schema instanceof z.ZodObject) schema = schema.shape[String(step)];
  }
  schema = bare(schema);
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function bare(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional ? schema.unwrap() : schema;
}

function eitherSubjectOrConfig() {
  const rule = (port: { subject?: unknown; config?: unknown }) =>
    (port.subject === undefined) !== (port.config === undefined);
  return [rule, { error: 'must have either "subject" or "config"' }] as const;
}
