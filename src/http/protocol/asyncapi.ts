import { z } from "zod";
import { CLOSE, type CloseCause } from "../../core/ports/socket.ts";
import { farewell } from "../../core/sessions/close-cause.ts";
import { eventsPath } from "../stream.ts";
import { durableParameter, sessionParameter, streamParameters } from "../stream-query.ts";
import { SUBPROTOCOLS } from "../subprotocols.ts";
import { DIALECT_MESSAGES, jsonSchemaOf } from "./messages.ts";

export interface AsyncApiOptions {
  readonly title: string;
  /** The gateway's version. */
  readonly version: string;
  /** Where the WebSocket is, seen from `base`. */
  readonly path: string;
  /** Where the gateway is: a URL of http or https, with the path that it is mounted at. */
  readonly base: URL;
  /** What {@linkcode describeMessages} makes. */
  readonly messages: object;
}

type DialectName = keyof typeof DIALECT_MESSAGES;

const ABOUT = `A gateway that carries NATS subjects to WebSockets and server-sent events.

Every message is one JSON object. Unknown fields are ignored in both directions. \`send\` is what the gateway sends, \`receive\` what it takes from clients.`;

const PLAIN_CHANNEL = `A WebSocket without subprotocol. Each text frame is one message. Gaps are not told.`;

const V1_CHANNEL = `A WebSocket with the subprotocol \`${SUBPROTOCOLS[0]}\`. A text frame holds one message, or several \`data\` parted by newlines. A client gets nothing but \`welcome\` and \`upstream\` until it subscribes.`;

const SSE_CHANNEL = `Server-sent events. \`data\` comes as an event without a name, whose \`id\` is the message's; everything else as an event named by its type. \`Last-Event-ID\` stands for \`after\`. Comments keep the connection alive.`;

/** The wire protocol as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0). */
export function asyncApi(options: AsyncApiOptions): object {
  const { title, version, path, base, messages } = options;
  const query = jsonSchemaOf(streamParameters);
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
        bindings: webSocket({
          query: jsonSchemaOf(streamParameters.extend({ ...SESSION, durable: durableParameter })),
        }),
        "x-close-codes": closeCodes(),
      },
      v1: {
        address: path,
        servers: [{ $ref: "#/servers/websocket" }],
        title: `WebSocket with ${SUBPROTOCOLS[0]}`,
        description: V1_CHANNEL,
        messages: channelMessages("v1"),
        bindings: webSocket({ headers: SUBPROTOCOL, query: jsonSchemaOf(z.object(SESSION)) }),
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
        bindings: { http: { method: "GET", query, bindingVersion: "0.3.0" } },
      },
    },
    components: { messages },
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

/** What a client comes back with, whatever it speaks. */
const SESSION = { session: sessionParameter };

/** What a client offers in the handshake (RFC 6455 §11.3.4). */
const SUBPROTOCOL = {
  type: "object",
  properties: { "Sec-WebSocket-Protocol": { type: "string", const: SUBPROTOCOLS[0] } },
  required: ["Sec-WebSocket-Protocol"],
};

function webSocket(handshake: object): object {
  return { ws: { method: "GET", ...handshake, bindingVersion: "0.1.0" } };
}

function channelMessages(dialect: DialectName): object {
  const { sent, received } = DIALECT_MESSAGES[dialect];
  const reference = (name: string) => [name, { $ref: `#/components/messages/${name}` }];
  return Object.fromEntries([...sent, ...received].map(reference));
}

function operation(dialect: DialectName, action: "send" | "receive"): object {
  const { sent, received } = DIALECT_MESSAGES[dialect];
  const channel = `#/channels/${dialect}`;
  return {
    action,
    channel: { $ref: channel },
    messages: (action === "send" ? sent : received).map((name) => ({
      $ref: `${channel}/messages/${name}`,
    })),
  };
}

/** Why the gateway ends connections, and what a client does then: what `disconnect` says before. */
function closeCodes(): object[] {
  return Object.keys(CLOSE).map((cause) => {
    const { type: _, ...said } = farewell(cause as CloseCause, undefined);
    return said;
  });
}
