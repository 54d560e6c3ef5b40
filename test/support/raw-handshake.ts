import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { DEADLINE_MS, within } from "./event-log.ts";

/** How a client asks for a WebSocket, to the last letter. */
export interface HandshakeOptions {
  /** Default: `GET`. */
  readonly method?: string;
  /**
   * Besides those of a proper handshake, or in their place whatever the case of their names;
   * `undefined` leaves one out.
   */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** What stands on the wire right behind the request, before any answer. */
  readonly behind?: Uint8Array;
}

/** What the server answered. */
export interface HandshakeResponse {
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Empty after 101. */
  readonly body: string;
  readonly socket: Socket;
  /** What stands on the wire behind a 101. */
  readonly rest: Buffer;
}

/** Asks for a WebSocket and returns what the server answers, refusals included. */
export async function requestUpgrade(
  url: string,
  options: HandshakeOptions = {},
): Promise<HandshakeResponse> {
  const { hostname, port, host, pathname, search } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  const { promise, resolve, reject } = Promise.withResolvers<HandshakeResponse>();
  let seen = Buffer.alloc(0);
  const look = (ended: boolean): void => {
    const response = parse(seen, ended, socket);
    if (response !== undefined) resolve(response);
    else if (ended) reject(new Error(`${url}: closed after ${JSON.stringify(seen.toString())}`));
  };
  const read = (chunk: Buffer): void => {
    seen = Buffer.concat([seen, chunk]);
    look(false);
  };
  const end = (): void => look(true);
  socket.on("data", read).on("end", end).on("close", end).on("error", reject);
  const head = Buffer.from(request(options, host, pathname + search));
  socket.write(Buffer.concat([head, options.behind ?? Buffer.alloc(0)]));
  try {
    const what = (): string => `answer to a handshake; came instead: ${seen.toString()}`;
    const response = await within(promise, what, DEADLINE_MS);
    if (response.status !== 101) socket.destroy();
    return response;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    socket.off("data", read).off("end", end).off("close", end);
  }
}

function request({ method = "GET", headers = {} }: HandshakeOptions, host: string, path: string) {
  const proper: Record<string, string | undefined> = {
    Host: host,
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
    "Sec-WebSocket-Version": "13",
  };
  const replaced = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const lines = [
    ...Object.entries(proper).filter(([name]) => !replaced.has(name.toLowerCase())),
    ...Object.entries(headers),
  ]
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** The response, once it is all there. */
function parse(seen: Buffer, ended: boolean, socket: Socket): HandshakeResponse | undefined {
  const headEnd = seen.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [statusLine = "", ...lines] = seen.subarray(0, headEnd).toString("latin1").split("\r\n");
  const status = Number(statusLine.split(" ")[1]);
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const rest = seen.subarray(headEnd + 4);
  if (status === 101) return { status, headers, body: "", socket, rest };
  const body = bodyOf(rest, headers, ended);
  return body === undefined ? undefined : { status, headers, body, socket, rest: Buffer.alloc(0) };
}

function bodyOf(
  bytes: Buffer,
  headers: ReadonlyMap<string, string>,
  ended: boolean,
): string | undefined {
  if (headers.get("transfer-encoding") === "chunked") {
    let body = "";
    for (let at = 0; at < bytes.length; ) {
      const lineEnd = bytes.indexOf("\r\n", at);
      if (lineEnd < 0) break;
      const size = Number.parseInt(bytes.subarray(at, lineEnd).toString(), 16);
      if (size === 0) return body;
      if (bytes.length < lineEnd + 2 + size) break;
      body += bytes.subarray(lineEnd + 2, lineEnd + 2 + size).toString();
      at = lineEnd + 2 + size + 2;
    }
    return ended ? body : undefined;
  }
  const length = headers.get("content-length");
  if (ended || (length !== undefined && bytes.length >= Number(length))) return bytes.toString();
  return undefined;
}
