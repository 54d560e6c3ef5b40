import type { Socket } from "node:net";
import { natsReason } from "./connect.ts";
import type { NatsServers } from "./servers.ts";

/** How long a server may take to accept a connection, and to send a text. */
const DIAL_MS = 2_000;
const WORD_MS = 700;
/** The most servers that are probed. */
const MOST_SERVERS = 3;
/** How many characters of an answer are shown. */
const SHOWN_LENGTH = 40;

/** The texts of a server: its greeting, and its answer to a WebSocket handshake. */
interface Said {
  readonly greeting: string;
  readonly answer: string;
  /** Whether it closed the connection. */
  readonly hungUp: boolean;
}

/**
 * Finds out what listens at the addresses of NATS. Another port of NATS, or another server, accepts the
 * connection, and the client can't say what is wrong.
 *
 * @param signal ends it early.
 * @returns what is wrong, in words for people; `undefined` if nothing is known to be.
 */
export async function probeServers(
  servers: NatsServers,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = await Promise.all(
    servers.targets.slice(0, MOST_SERVERS).map((target) => probeServer(target, servers, signal)),
  );
  return found.filter((text) => text !== undefined).join("; ") || undefined;
}

async function probeServer(target: string, { transport, tls }: NatsServers, signal: AbortSignal) {
  const url = new URL(target.includes("://") ? target : `nats://${target}`);
  const port = Number(url.port) || (url.protocol === "wss:" ? 443 : 80);
  const at = `${url.hostname}:${port}`;
  const secure = transport === "tcp" ? tls : url.protocol === "wss:";
  try {
    const text = judge(await converse(url, port, signal), transport, secure);
    return text && `${at} ${text}`;
  } catch (thrown) {
    return `nobody answers at ${at}: ${natsReason(thrown)}`;
  }
}

function judge(said: Said, transport: NatsServers["transport"], secure: boolean) {
  const { greeting, answer, hungUp } = said;
  const wants = transport === "tcp" ? "NATS over TCP" : "NATS over WebSockets";
  if (/^INFO\s*\{/.test(greeting)) {
    return transport === "tcp"
      ? undefined
      : "is NATS' TCP port: use a URL that begins with nats:// or tls://";
  }
  if (greeting !== "") return `is not a NATS server: it says ${shown(greeting)}`;
  if (/^HTTP\/1\.\d 101/.test(answer)) {
    if (transport === "websocket" && !secure) return undefined;
    const isNats = answer.includes("INFO {");
    const what = isNats ? "is NATS' WebSocket port" : "is a WebSocket server";
    return `${what}, without TLS: use a URL that begins with ws://`;
  }
  // The text of Go's HTTP servers, which NATS' WebSocket port uses; other servers send an alert (RFC 8446 §6).
  if (/HTTPS server/.test(answer) || answer.startsWith("\x15")) {
    if (secure && transport === "websocket") return undefined;
    return transport === "websocket"
      ? "requires TLS: use a URL that begins with wss://"
      : "requires TLS from the start: for NATS' WebSocket port with TLS, use a URL that begins with wss://";
  }
  if (/^HTTP\/1\./.test(answer)) {
    return `is an HTTP server that is not ${wants}: it answers ${shown(answer)}`;
  }
  if (answer !== "") return `is not a NATS server: it says ${shown(answer)}`;
  if (hungUp)
    return secure ? undefined : `closes every connection, and may require TLS; it is not ${wants}`;
  return secure && transport === "websocket"
    ? undefined
    : `accepts connections but sends nothing: it is not ${wants}, or hangs`;
}

/** Returns the first line of a text, without characters that could harm a terminal. */
function shown(text: string): string {
  const line = text.split(/[\r\n]/, 1)[0] ?? "";
  return JSON.stringify(line.replace(/[^ -~]/g, "?").slice(0, SHOWN_LENGTH));
}

async function converse(url: URL, port: number, signal: AbortSignal): Promise<Said> {
  const { connect } = await import("node:net");
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const socket = connect({ host, port });
  const abort = (): void => void socket.destroy();
  signal.addEventListener("abort", abort);
  try {
    const reader = new SocketReader(socket);
    await reader.connected;
    const greeting = await reader.next();
    if (greeting !== "" || reader.hungUp) return { greeting, answer: "", hungUp: reader.hungUp };
    socket.write(
      `GET ${url.pathname || "/"} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: Upgrade\r\n` +
        "Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
        "Sec-WebSocket-Version: 13\r\n\r\n",
    );
    let answer = await reader.next();
    // The greeting of NATS comes in a frame of its own.
    if (answer.startsWith("HTTP/1.1 101") && !answer.includes("INFO {"))
      answer += await reader.next();
    return { greeting, answer, hungUp: reader.hungUp };
  } finally {
    signal.removeEventListener("abort", abort);
    socket.destroy();
  }
}

/** Reads texts from a socket. No event of the socket throws. */
class SocketReader {
  readonly connected: Promise<void>;
  hungUp = false;
  #text = "";
  #notify: (() => void) | undefined;

  constructor(socket: Socket) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.connected = promise;
    const timer = setTimeout(() => reject(new Error("timeout")), DIAL_MS);
    promise.catch(() => {}).finally(() => clearTimeout(timer));
    socket.on("connect", resolve);
    socket.on("data", (data) => {
      this.#text += data.toString("latin1");
      this.#notify?.();
    });
    const end = (): void => {
      this.hungUp = true;
      this.#notify?.();
    };
    socket.on("end", end).on("error", reject);
    socket.on("close", () => {
      end();
      reject(new Error("the connection was closed"));
    });
  }

  /** Waits for the next text; returns an empty one if none comes in time. */
  async next(): Promise<string> {
    if (this.#text === "" && !this.hungUp) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, WORD_MS);
        this.#notify = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const text = this.#text;
    this.#text = "";
    return text;
  }
}
