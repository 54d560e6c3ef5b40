import type { Socket } from "node:net";
import { natsReason } from "./connect.ts";
import type { NatsServers } from "./servers.ts";

/** How long a server may take to accept a connection, and to send its next text. */
const DIAL_MS = 2_000;
const WORD_MS = 700;
/** How many servers of the list are probed. */
const MOST_SERVERS = 3;
/** How many characters of a stranger's answer are shown. */
const SHOWN_LENGTH = 40;

/** A server's greeting, and its answer to a request for a WebSocket. */
interface Said {
  readonly greeting: string;
  readonly answer: string;
  /** Whether it ended the connection. */
  readonly hungUp: boolean;
}

/**
 * Finds out who listens where NATS should: a port of NATS that speaks another protocol accepts our
 * connection and says nothing, or something that the client can't make sense of.
 *
 * @param signal ends it early.
 * @returns what is wrong there, in words for people; `undefined` where nothing is, or nothing is known.
 */
export async function probeServers(
  servers: NatsServers,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = await Promise.all(
    servers.targets.slice(0, MOST_SERVERS).map((target) => strangerAt(target, servers, signal)),
  );
  return found.filter((text) => text !== undefined).join("; ") || undefined;
}

async function strangerAt(target: string, { transport, tls }: NatsServers, signal: AbortSignal) {
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
      : "is NATS' TCP port: its URL begins with nats:// or tls://";
  }
  if (greeting !== "") return `is no NATS server: it says ${shown(greeting)}`;
  if (/^HTTP\/1\.\d 101/.test(answer)) {
    if (transport === "websocket" && !secure) return undefined;
    const isNats = answer.includes("INFO {");
    const what = isNats ? "is NATS' WebSocket port" : "is a WebSocket server";
    return `${what}, without TLS: its URL begins with ws://`;
  }
  // As Go's HTTP servers say it, of which NATS' WebSocket port is one; others send an alert (RFC 8446 §6).
  if (/HTTPS server/.test(answer) || answer.startsWith("\x15")) {
    if (secure && transport === "websocket") return undefined;
    return transport === "websocket"
      ? "wants TLS: its URL begins with wss://"
      : "wants TLS at once: NATS' WebSocket port with TLS has a URL that begins with wss://";
  }
  if (/^HTTP\/1\./.test(answer)) {
    return `is an HTTP server that is not ${wants}: it answers ${shown(answer)}`;
  }
  if (answer !== "") return `is no NATS server: it says ${shown(answer)}`;
  if (hungUp)
    return secure ? undefined : `ends each connection, and may want TLS; it is not ${wants}`;
  return secure && transport === "websocket"
    ? undefined
    : `takes connections and says nothing: it is not ${wants}, or hangs`;
}

/** The first line of what a stranger says, without what a terminal would mind. */
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
    // NATS says who it is in a frame of its own.
    if (answer.startsWith("HTTP/1.1 101") && !answer.includes("INFO {"))
      answer += await reader.next();
    return { greeting, answer, hungUp: reader.hungUp };
  } finally {
    signal.removeEventListener("abort", abort);
    socket.destroy();
  }
}

/** Hears what comes over a socket. Whatever becomes of that, nothing is thrown by it. */
class SocketReader {
  readonly connected: Promise<void>;
  hungUp = false;
  #heard = "";
  #listening: (() => void) | undefined;

  constructor(socket: Socket) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.connected = promise;
    const timer = setTimeout(() => reject(new Error("timeout")), DIAL_MS);
    promise.catch(() => {}).finally(() => clearTimeout(timer));
    socket.on("connect", resolve);
    socket.on("data", (data) => {
      this.#heard += data.toString("latin1");
      this.#listening?.();
    });
    const end = (): void => {
      this.hungUp = true;
      this.#listening?.();
    };
    socket.on("end", end).on("error", reject);
    socket.on("close", () => {
      end();
      reject(new Error("the connection was closed"));
    });
  }

  /** Waits for the next text; it is empty if none comes in time. */
  async next(): Promise<string> {
    if (this.#heard === "" && !this.hungUp) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, WORD_MS);
        this.#listening = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const heard = this.#heard;
    this.#heard = "";
    return heard;
  }
}
