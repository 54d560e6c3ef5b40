import { z } from "zod";
import { subjectFault } from "../protocol/subject.ts";
import { list, stating, text } from "./value-schemas.ts";

/** The paths that the gateway serves itself, besides everything under `/publish`. */
export const RESERVED_PATHS = [
  "/",
  "/livez",
  "/readyz",
  "/healthz",
  "/metrics",
  "/schema.json",
  "/asyncapi.json",
  "/client.js",
  "/publish",
] as const;

/** The name of a gateway instance in logs and in StreamKit's `Meta`. */
export function instanceName() {
  return text(/^[A-Za-z0-9_.-]{1,64}$/, "1 to 64 of A-Z a-z 0-9 _ . -");
}

/** The address to listen on: an IPv4 or IPv6 address without brackets, or a host name. */
export function hostName() {
  const limits = "an IP address or a host name";
  const schema = text(
    /^(?:[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$/,
    limits,
  ).refine((host) => !host.includes(":") || URL.canParse(`http://[${host}]`), {
    error: `must be ${limits}`,
  });
  return stating(schema, "text", limits);
}

/** The lowest port of StreamKit's component; the system reserves lower ones. */
export const LOWEST_COMPONENT_PORT = 1024;

/** The allowed ports, in words. */
export function portLimits(lowest: number): string {
  return `0 (any free port) or an integer from ${lowest} to 65535`;
}

/** Any port; the system decides whether this process may use one below 1024. */
export function portNumber() {
  const limits = portLimits(1);
  const error = `must be ${limits}`;
  return stating(z.int({ error }).min(0, { error }).max(65535, { error }), "integer", limits);
}

/** The hosts that stand for all network interfaces. Servers listen on them, but clients can't connect to them. */
export const ANY_ADDRESS: readonly string[] = ["0.0.0.0", "::"];

/**
 * The URL of a listener, as it is shown to people; an IPv6 address stands in brackets. Browsers take `127.0.0.1`
 * and `localhost` for two origins, so a page of one may not connect to the other: all that we show says `localhost`.
 */
export function listenerUrl(host: string, port: number, isEncrypted = false): string {
  const shown = host === "127.0.0.1" || ANY_ADDRESS.includes(host) ? "localhost" : host;
  return `http${isEncrypted ? "s" : ""}://${shown.includes(":") ? `[${shown}]` : shown}:${port}`;
}

/** The path of the WebSocket. Only characters without a special meaning in URLs and routers are allowed. */
export function urlPath() {
  const limits = `a path that begins with "/", like "/live/ws", of letters, digits and - . _ ~, other than the gateway's own (${RESERVED_PATHS.join(" ")})`;
  const schema = text(/^(?:\/[A-Za-z0-9._~-]+)+\/?$/, limits).refine(
    (path) => {
      // Clients resolve "." and ".." to another path.
      if (/\/\.\.?(\/|$)/.test(path)) return false;
      const plain = path.replace(/\/$/, "");
      return !RESERVED_PATHS.some((own) => own === plain) && !plain.startsWith("/publish/");
    },
    { error: `must be ${limits}` },
  );
  return stating(schema, "text", limits);
}

/** A subject to subscribe to, which may have wildcards. */
export function subjectPattern() {
  return natsSubject("a NATS subject", true);
}

/** A subject to publish to. */
export function literalSubject() {
  return natsSubject("a NATS subject without wildcards", false);
}

function natsSubject(limits: string, wildcards: boolean) {
  const schema = z.string({ error: `must be ${limits}` }).superRefine((subject, context) => {
    const fault = subjectFault(subject, wildcards);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  });
  return stating(schema, "text", limits);
}

/** A stream's name, as long as NATS allows it, without the characters that separate the parts of a cursor. */
const STREAM_NAME = /^[A-Za-z0-9_-]{1,255}$/;

/** A stream's name, without dots and colons. */
export function streamName() {
  return text(STREAM_NAME, "a stream's name: 1 to 255 of A-Z a-z 0-9 _ -");
}

/** A stream, optionally followed by a colon and the subject of it that is carried. */
export function streamInput() {
  const limits =
    'a stream\'s name (1 to 255 of A-Z a-z 0-9 _ -), perhaps with ":" and a NATS subject';
  const schema = text(/^[A-Za-z0-9_-]{1,255}(?::.*)?$/s, limits).superRefine((input, context) => {
    const { subject } = readStreamInput(input);
    const fault = subject === undefined ? undefined : subjectFault(subject, true);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  });
  return stating(schema, "text", limits);
}

/** The two parts of a {@linkcode streamInput}. */
export function readStreamInput(input: string): { name: string; subject: string | undefined } {
  const colon = input.indexOf(":");
  if (colon < 0) return { name: input, subject: undefined };
  return { name: input.slice(0, colon), subject: input.slice(colon + 1) };
}

/** A header name of NATS ADR-4: printable ASCII without a colon. */
export function headerName() {
  return text(/^[!-9;-~]+$/, 'a header name: printable ASCII without spaces and ":"');
}

/**
 * A web origin as a browser sends it in `Origin` (RFC 6454, section 7), `"null"` as it sends it for
 * a page from a file or in a sandbox, or `"*"` for any. Written as browsers write it: in lower case,
 * without the port that the scheme implies.
 */
export function webOrigin() {
  const limits = '"*", "null" or an origin like "https://app.example.com", without a path';
  const pattern = /^(?:\*|null|[A-Za-z][A-Za-z0-9+.-]*:\/\/[^\s/?#@,]+)$/;
  const schema = text(pattern, limits)
    .refine((origin) => !origin.includes(":") || URL.canParse(origin), {
      error: `must be ${limits}`,
    })
    .transform((origin) => {
      if (!origin.includes(":")) return origin;
      // For schemes that the URL standard doesn't know (app://, capacitor://) it says "null".
      const known = new URL(origin).origin;
      return known === "null" ? origin.toLowerCase() : known;
    });
  return stating(schema, "text", limits);
}

/**
 * A name in `Host`, without a port, or `"*"` for any. Written as in a URL: in lower case, an IPv6
 * address shortened and in brackets.
 */
export function webHost() {
  const limits = '"*" or a host name like "app.example.com", without a port';
  const pattern = /^(?:\*|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?|[^\s/?#@\\,:[\]*]+)$/;
  const urlOf = (host: string): string =>
    `http://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}`;
  const schema = text(pattern, limits)
    .refine((host) => host === "*" || URL.canParse(urlOf(host)), { error: `must be ${limits}` })
    .transform((host) => (host === "*" ? host : new URL(urlOf(host)).hostname.replace(/\.$/, "")));
  return stating(schema, "text", limits);
}

const WEBSOCKET = /^wss?:/i;

function natsUrl() {
  const limits = 'a URL that begins with "nats://", "tls://", "ws://" or "wss://"';
  const error = `must be ${limits}`;
  return z
    .string({ error })
    .regex(/^(?:nats|tls|wss?):\/\//i, { error, abort: true })
    .refine((url) => !/\s/.test(url) && URL.canParse(url) && new URL(url).hostname !== "", {
      error: 'must be a URL with a host and perhaps a port, like "nats://localhost:4222"',
    });
}

/**
 * Servers of one NATS cluster: one text, separated by commas, or a list. A client keeps to one
 * transport, so WebSocket and TCP can't be mixed.
 */
export function natsUrls() {
  const limits =
    'URLs in a list or separated by commas, all "nats://" and "tls://" or all "ws://" and "wss://"';
  const servers = list(natsUrl(), "URLs").superRefine((urls, context) => {
    const odd = urls.findIndex((url) => WEBSOCKET.test(url) !== WEBSOCKET.test(urls[0] ?? ""));
    if (odd < 0) return;
    const message = `must be of the same transport as the first URL: all "nats://" and "tls://", or all "ws://" and "wss://"`;
    context.addIssue({ code: "custom", path: [odd], input: urls[odd], message });
  });
  const schema = z
    .union([z.string(), z.array(z.string())], { error: `must be ${limits}` })
    .transform((given) =>
      [given].flat().flatMap((urls) => urls.split(",").map((url) => url.trim())),
    )
    .pipe(servers);
  return stating(schema, "list", limits);
}
