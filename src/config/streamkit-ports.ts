import { z } from "zod";
import { hostName, portNumber, streamName, subjectPattern, urlPath } from "./address.ts";
import { anyText, boolean, choice, duration, integer, text } from "./value-schemas.ts";

/**
 * StreamKit's `ports`, in its two spellings: untyped (`type` and `subject` beside the name) and
 * typed (`config` with a `kind`). The key names are those of its Go structs `PortDefinition`,
 * `NATSPort` and `NetworkPort`.
 */

/** Where clients begin by default. StreamKit's ports have no field for a time. */
const DELIVER_POLICIES = ["new", "all", "last", "last_per_subject"] as const;

const EITHER = 'must have either "subject" or "config"';
const KINDS = ["nats", "jetstream", "kv"] as const;

/** The types of an output that mean an HTTP listener with a WebSocket. */
const LISTENERS = ["network", "http", "websocket", "websocket-server"] as const;

/** Scheme, then the groups `v6`, `host`, `port` and `path`, each of which may be missing. */
export const LISTENER_URL =
  /^(?:http|ws):\/\/(?:\[(?<v6>[^\]]*)\]|(?<host>[^\s:/?#@[\]]*))(?::(?<port>\d*))?(?<path>\/[^\s?#]*)?$/;

const object = { error: "must be an object" };

/** Describes messages to other tools; has no effect here. */
function contract() {
  const named = z.strictObject({ type: anyText(), version: anyText().optional() }, object);
  return z
    .union([anyText(), named], { error: 'must be a text or an object with "type"' })
    .optional();
}

function inputKind() {
  return choice(KINDS);
}

/** Of streams and buckets. What is about acknowledgements changes nothing in at-most-once. */
function streamFields() {
  return {
    stream_name: streamName().optional(),
    bucket: streamName().optional(),
    subject: subjectPattern().optional(),
    subjects: z.array(subjectPattern(), { error: "must be a list of NATS subjects" }).optional(),
    deliver_policy: choice(DELIVER_POLICIES).optional(),
    ack_policy: choice(["none", "explicit", "all"]).optional(),
    ack_wait: duration("1ms", "24h").optional(),
    max_deliver: integer(-1, 1_000_000).optional(),
    max_ack_pending: integer(-1, 1_000_000).optional(),
  };
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
      ...streamFields(),
      config: z
        .strictObject({ kind: inputKind(), ...streamFields(), interface: contract() }, object)
        .superRefine((config, context) => checkFields(config.kind, config, context))
        .optional(),
    },
    object,
  )
  .superRefine((port, context) => {
    const { config, type = "nats" } = port;
    const says = STREAM_FIELDS.some((field) => port[field] !== undefined);
    if (config !== undefined ? says : type === "nats" && port.subject === undefined) {
      context.addIssue({ code: "custom", message: EITHER });
    } else if (config === undefined) checkFields(type, port, context);
  });

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

/** Returns the known keys at a path in `ports`. */
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

type StreamFields = z.output<z.ZodObject<ReturnType<typeof streamFields>>>;
const STREAM_FIELDS = Object.keys(streamFields()) as (keyof StreamFields)[];
/** The other keys of a stream's port. */
const OF_STREAMS: readonly (keyof StreamFields)[] = STREAM_FIELDS.filter(
  (field) => field !== "stream_name" && field !== "bucket",
);

/** The keys of each kind of port that name the source of its messages. */
const SAYS: Readonly<
  Record<
    (typeof KINDS)[number],
    { needs: keyof StreamFields; wants: string; may: readonly (keyof StreamFields)[] }
  >
> = {
  nats: { needs: "subject", wants: "must be a NATS subject", may: [] },
  jetstream: { needs: "stream_name", wants: "must name a stream", may: OF_STREAMS },
  kv: { needs: "bucket", wants: "must name a bucket", may: OF_STREAMS },
};

/** Adds an issue for each missing key, and for each key of another kind of port. */
function checkFields(
  kind: (typeof KINDS)[number],
  fields: StreamFields,
  context: z.core.$RefinementCtx,
): void {
  const { needs, wants, may } = SAYS[kind];
  const fault = (field: keyof StreamFields, message: string) =>
    context.addIssue({ code: "custom", path: [field], input: fields[field], message });
  if (fields[needs] === undefined) fault(needs, wants);
  for (const field of STREAM_FIELDS) {
    if (fields[field] === undefined || field === needs || may.includes(field)) continue;
    fault(field, `must not be set in a port of kind "${kind}"`);
  }
}

function eitherSubjectOrConfig() {
  const rule = (port: { subject?: unknown; config?: unknown }) =>
    (port.subject === undefined) !== (port.config === undefined);
  return [rule, { error: EITHER }] as const;
}
