import { rmSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer } from "../../scripts/install-nats-server.ts";
import { type OutputLine, type RunningProcess, startProcess } from "./child-process.ts";
import { DEADLINE_MS, type EventLog } from "./event-log.ts";
import { freePort } from "./free-port.ts";

export interface NatsServerOptions {
  /** The address for clients. Default: 127.0.0.1. */
  host?: string;
  /** Stands before the command, as the one that enters a network namespace. */
  command?: readonly string[];
  /** More configuration, in nats-server's own syntax; it stands after what is generated. */
  config?: string;
  /** Of `nats://`. Default: any free one. */
  port?: number;
  /** Whether it also listens on a free port for `ws://`. Default: `true`. */
  websocket?: boolean;
  /** Whether it keeps streams, across `restart` too. Default: `false`. */
  jetstream?: boolean;
  /** Whether it also answers HTTP on a free port, about itself. Default: `false`. */
  monitoring?: boolean;
}

/** A real `nats-server`, on loopback unless `host` says otherwise, with what is needed to reach it, lose it and get it back. */
export interface NatsServer {
  /** `nats://<host>:<port>` */
  readonly url: string;
  /** `ws://127.0.0.1:<wsPort>`, or empty where there is no listener for it. */
  readonly wsUrl: string;
  readonly port: number;
  /** 0 where there is no listener for it. */
  readonly wsPort: number;
  /** `http://127.0.0.1:<port>` of its monitoring, or empty where there is none; another one after `restart`. */
  readonly monitoringUrl: string;
  /** The process's id; another one after `restart`. */
  readonly pid: number;
  readonly version: string;
  /** Its log; another one after `restart`. */
  readonly lines: EventLog<OutputLine>;
  /** Ends the process. May be called twice. */
  stop(): Promise<void>;
  /** Ends the process if it still runs, and starts it again on the same ports. */
  restart(): Promise<void>;
}

interface Launched {
  readonly process: RunningProcess;
  readonly port: number;
  readonly wsPort: number;
  readonly monitoringPort: number;
  readonly version: string;
}

/** The addresses of the servers that were started here, by those for TCP. */
const webSockets = new Map<string, string>();

/** Returns a text in which the addresses of servers that were started here are those for WebSockets, where they have one. */
export function withWebSockets(text: string): string {
  return text.replace(/nats:\/\/([^@/"]*@)?(127\.0\.0\.1:\d+)/g, (url, login = "", address) => {
    const found = webSockets.get(`nats://${address}`);
    return found ? found.replace("//", `//${login}`) : url;
  });
}

/** Starts a `nats-server` of its own and returns once it takes connections. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const websocket = options.websocket ?? true;
  const monitoring = options.monitoring === true ? 'http: "127.0.0.1:-1"' : "";
  const jetstream = options.jetstream === true ? await jetStreamConfig() : "";
  const config = `${monitoring}\n${jetstream}\n${options.config ?? ""}`;
  let now = await launchOn(
    async () => [options.port ?? (await freePort()), websocket ? await freePort() : undefined],
    config,
    options,
  );
  const { port, wsPort } = now;
  const url = `nats://${options.host ?? LOOPBACK}:${port}`;
  const wsUrl = wsPort === 0 ? "" : `ws://127.0.0.1:${wsPort}`;
  webSockets.set(url, wsUrl);
  return {
    url,
    wsUrl,
    port,
    wsPort,
    get monitoringUrl() {
      return now.monitoringPort === 0 ? "" : `http://127.0.0.1:${now.monitoringPort}`;
    },
    get pid() {
      return now.process.pid;
    },
    version: now.version,
    get lines() {
      return now.process.lines;
    },
    async stop() {
      await now.process.stop();
    },
    async restart() {
      await now.process.stop();
      const ports: Ports = [port, websocket ? wsPort : undefined];
      now = await launchOn(async () => ports, config, options);
    },
  };
}

const LOOPBACK = "127.0.0.1";

type Ports = readonly [port: number, wsPort: number | undefined];

/** The most starts of a server whose ports are taken. */
const MOST_LAUNCHES = 20;

/** Starts a server; again if another process has one of its ports. */
async function launchOn(
  ports: () => Promise<Ports>,
  config: string,
  place: NatsServerOptions,
): Promise<Launched> {
  for (let launches = 1; ; launches++) {
    try {
      return await launch(await ports(), config, place);
    } catch (error) {
      const isTaken = String(error).includes("address already in use");
      if (!isTaken || launches >= MOST_LAUNCHES) throw error;
    }
  }
}

/** With a folder that goes with this process: streams are to outlive the server's. */
async function jetStreamConfig(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "spillway-streams-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  return `jetstream { store_dir: ${JSON.stringify(directory)} }`;
}

async function launch(
  [port, wsPort]: Ports,
  config: string,
  { host = LOOPBACK, command = [] }: NatsServerOptions,
): Promise<Launched> {
  const directory = await mkdtemp(join(tmpdir(), "spillway-nats-"));
  const file = join(directory, "nats-server.conf");
  const listeners = [`host: "${host}"`, `port: ${port}`];
  if (wsPort !== undefined) {
    listeners.push(`websocket { host: "127.0.0.1", port: ${wsPort}, no_tls: true }`);
  }
  await writeFile(file, `${listeners.join("\n")}\n${config}\n`);
  const args = [...command, findNatsServer(), "-c", file];
  const running = await startProcess("nats-server", args, { directory });
  await running.lines.find(
    ({ text }) => text.includes("Server is ready"),
    "line that says that it is ready",
    DEADLINE_MS,
  );
  return {
    process: running,
    port: Number(said(running, /Listening for client connections on .*:(\d+)/)),
    wsPort: Number(said(running, /Listening for websocket clients on .*:(\d+)/) ?? 0),
    monitoringPort: Number(said(running, /Starting http monitor on .*:(\d+)/) ?? 0),
    version: said(running, /Version:\s+(\S+)/) ?? "unknown",
  };
}

/** What the first line that matches says in its first group. */
function said(running: RunningProcess, pattern: RegExp): string | undefined {
  for (const { text } of running.lines.entries) {
    const match = pattern.exec(text);
    if (match !== null) return match[1];
  }
  return undefined;
}

/** The connections that a NATS server has, by their numbers. */
export async function connectionsOf({ monitoringUrl }: NatsServer): Promise<number[]> {
  const response = await fetch(`${monitoringUrl}/connz`);
  const { connections } = (await response.json()) as { connections: { cid: number }[] };
  return connections.map(({ cid }) => cid).sort((one, other) => one - other);
}

/** Returns the subjects of all subscriptions that clients have at a server with `monitoring`. */
export async function subscriptionsAt({ monitoringUrl }: NatsServer): Promise<string[]> {
  const answer = (await (await fetch(`${monitoringUrl}/connz?subs=1`)).json()) as {
    connections: { subscriptions_list?: string[] }[];
  };
  return answer.connections.flatMap(({ subscriptions_list = [] }) => subscriptions_list);
}
