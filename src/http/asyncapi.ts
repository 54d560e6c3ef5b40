import { CLIENT_FRAMES } from "../protocol/client-frames.ts";
import { CLOSE } from "../protocol/close-codes.ts";
import { type DialectName, SUBPROTOCOL } from "../protocol/dialects.ts";
import { PARAMETERS } from "../protocol/query.ts";
import { constant, type Frame, type JsonSchema, objectSchema } from "../protocol/schema.ts";
import { DATA_FRAME, SERVER_FRAMES } from "../protocol/server-frames.ts";
import { eventsPath } from "./client-endpoints.ts";

export interface AsyncApiOptions {
  readonly title: string;
  /** The gateway's version. */
  readonly version: string;
  /** The path of the WebSocket, seen from `base`. */
  readonly path: string;
  /** The address of the gateway: a URL of http or https, with the path that it is mounted at. */
  readonly base: URL;
}

const ABOUT = `A gateway that carries NATS subjects to WebSockets and server-sent events.

Every message is one JSON object. Unknown fields are ignored in both directions. \`send\` is what the gateway sends, \`receive\` what it takes from clients.`;

const PLAIN_CHANNEL = `A WebSocket without subprotocol. Each text frame is one message. The client is not told of gaps.`;

const V1_CHANNEL = `A WebSocket with the subprotocol \`${SUBPROTOCOL}\`. A text frame holds one message, or several \`data\` separated by newlines. A client gets nothing but \`welcome\` and \`upstream\` until it subscribes.`;

const SSE_CHANNEL = `Server-sent events. \`data\` is an event without a name, whose \`id\` is the message's; everything else is an event named by its type. \`Last-Event-ID\` takes the place of \`after\`. Comments keep the connection alive.`;

/** The wire protocol as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0). */
export function asyncApi(options: AsyncApiOptions): object {
  const { title, version, path, base } = options;
  return {
    asyncapi: "3.0.0",
    info: {
      title,
      version,
      description: ABOUT,
      license: { name: "MIT", url: "https://opensource.org/license/mit" },
    },
    defaultContentType: "application/json",
    servers: {
      websocket: server(base, "ws"),
      http: server(base, "http"),
    },
    channels: {
      plain: {
        address: path,
        servers: [{ $ref: "#/servers/websocket" }],
        title: "Plain WebSocket",
        description: PLAIN_CHANNEL,
        messages: channelMessages("plain"),
        bindings: webSocket({ query: querySchema("plain") }),
        "x-close-codes": closeCodes(),
      },
      v1: {
        address: path,
        servers: [{ $ref: "#/servers/websocket" }],
        title: `WebSocket with ${SUBPROTOCOL}`,
        description: V1_CHANNEL,
        messages: channelMessages("v1"),
        bindings: webSocket({ headers: SUBPROTOCOL_HEADER, query: querySchema("v1") }),
        "x-close-codes": closeCodes(),
      },
      sse: {
        address: eventsPath(path),
        servers: [{ $ref: "#/servers/http" }],
        title: "Server-sent events",
        description: SSE_CHANNEL,
        messages: channelMessages("sse"),
      },
    },
    operations: {
      sendPlain: operation("plain", "send"),
      receivePlain: operation("plain", "receive"),
      sendV1: operation("v1", "send"),
      receiveV1: operation("v1", "receive"),
      sendSse: {
        ...operation("sse", "send"),
        bindings: { http: { method: "GET", query: querySchema("sse"), bindingVersion: "0.3.0" } },
      },
    },
    components: { messages: messages() },
  };
}

function server({ protocol, host, pathname }: URL, scheme: "ws" | "http"): object {
  const prefix = pathname.replace(/\/+$/, "");
  return {
    host,
    ...(prefix !== "" && { pathname: prefix }),
    protocol: protocol === "https:" ? `${scheme}s` : scheme,
    description: "Where this document was asked for. A proxy may take TLS in front of it.",
  };
}

/** The subprotocols that a client offers in the handshake (RFC 6455 §11.3.4). */
const SUBPROTOCOL_HEADER = {
  type: "object",
  properties: { "Sec-WebSocket-Protocol": { type: "string", const: SUBPROTOCOL } },
  required: ["Sec-WebSocket-Protocol"],
};

function webSocket(handshake: object): object {
  return { ws: { method: "GET", ...handshake, bindingVersion: "0.1.0" } };
}

function querySchema(dialect: DialectName): JsonSchema {
  const parameters = Object.entries(PARAMETERS).filter(([, { dialects }]) =>
    dialects.includes(dialect),
  );
  return {
    type: "object",
    properties: Object.fromEntries(
      parameters.map(([name, { json, description }]) => [name, { ...json, description }]),
    ),
  };
}

/** The frames by the names of their messages; both sides have a `slow` and an `ok` of their own. */
const SENT: readonly (readonly [name: string, frame: Frame])[] = [
  ["data", DATA_FRAME],
  ...Object.entries(SERVER_FRAMES).map(([name, frame]) => [`server.${name}`, frame] as const),
];

const RECEIVED: readonly (readonly [name: string, frame: Frame])[] = Object.entries(
  CLIENT_FRAMES,
).map(([name, frame]) => [`client.${name}`, frame]);

function messages(): object {
  return Object.fromEntries([...SENT, ...RECEIVED].map(([name, frame]) => [name, message(frame)]));
}

function message({ type, description, answer, fields, example }: Frame): object {
  const summary = answer === undefined ? description : `${description} The answer is ${answer}.`;
  return {
    name: type,
    summary,
    contentType: "application/json",
    payload: objectSchema({ type: constant(type, "The type of the frame."), ...fields }),
    examples: [{ payload: example }],
  };
}

function namesIn(dialect: DialectName, frames: typeof SENT): string[] {
  return frames.filter(([, { dialects }]) => dialects.includes(dialect)).map(([name]) => name);
}

function channelMessages(dialect: DialectName): object {
  const names = [...namesIn(dialect, SENT), ...namesIn(dialect, RECEIVED)];
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/messages/${name}` }]));
}

function operation(dialect: DialectName, action: "send" | "receive"): object {
  const channel = `#/channels/${dialect}`;
  return {
    action,
    channel: { $ref: channel },
    messages: namesIn(dialect, action === "send" ? SENT : RECEIVED).map((name) => ({
      $ref: `${channel}/messages/${name}`,
    })),
  };
}

/** Why the gateway closes connections, and what a client does then. */
function closeCodes(): object[] {
  return Object.values(CLOSE).map(({ code, reason, reconnect, why, advice }) => ({
    code,
    reason,
    reconnect,
    description: why,
    advice,
  }));
}
