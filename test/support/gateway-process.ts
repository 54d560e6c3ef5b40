import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Exit, type OutputLine, type RunningProcess, startProcess } from "./child-process.ts";
import { DEADLINE_MS, within } from "./event-log.ts";
import { withWebSockets } from "./nats-server.ts";
import { ROOT, type Target } from "./runtimes.ts";

/** What the service is started with. Its port is always a free one, unless `args` or `env.PORT` names one. */
export interface GatewayOptions {
  readonly args?: readonly string[];
  /** The command, if it isn't the one that serves: `["token", "make"]`. */
  readonly command?: readonly string[];
  /** Besides what any program needs; nothing else of this process's environment is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to a file that `--config` names; a text is written as it is. */
  readonly config?: Readonly<Record<string, unknown>> | string;
  /** The folder that it is started in. Default: that of the repository. */
  readonly cwd?: string;
}

/** One line of the service's log. */
export interface LogLine {
  readonly "@timestamp": string;
  readonly level: string;
  readonly message: string;
  readonly logger: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

/** A running service. */
export interface Gateway {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** `ws://127.0.0.1:<port><path>` */
  readonly wsUrl: string;
  readonly port: number;
  readonly path: string;
  readonly pid: number;
  /** All lines of its log so far. */
  readonly logs: readonly LogLine[];
  /** Everything that it wrote so far, to both streams. */
  readonly output: string;
  /** The first line of its log that fits, those before included. */
  waitForLog(
    fits: (line: LogLine) => boolean,
    what?: string,
    deadlineMs?: number,
  ): Promise<LogLine>;
  signal(signal: NodeJS.Signals): void;
  readonly exited: Promise<Exit>;
  /** SIGTERM, then SIGKILL when that did not end it in time. May be called twice. */
  stop(deadlineMs?: number): Promise<Exit>;
  /** `GET`s a path of its HTTP side. */
  get(path: string): Promise<Response>;
}

/** The end of a run that never listened. */
export interface FinishedRun extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the service and returns once it says that it listens. */
export async function startGateway(target: Target, options: GatewayOptions = {}): Promise<Gateway> {
  const running = await launch(target, options, true);
  const find = async (
    fits: (line: LogLine) => boolean,
    what: string,
    deadlineMs: number,
  ): Promise<LogLine> => {
    let found: LogLine | undefined;
    const look = ({ text }: OutputLine): boolean => {
      found = parseLogLine(text);
      return found !== undefined && fits(found);
    };
    await running.lines.find(look, what, deadlineMs);
    return found!;
  };
  let listening: LogLine;
  try {
    listening = await find(isListening, `log line with the event "listening"`, DEADLINE_MS);
  } catch (error) {
    running.signal("SIGKILL");
    throw error;
  }
  const { port, path } = listening.properties as { port: number; path: string };
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    wsUrl: `ws://127.0.0.1:${port}${path}`,
    port,
    path,
    pid: running.pid,
    get logs() {
      return running.lines.entries
        .map(({ text }) => parseLogLine(text))
        .filter((line) => line !== undefined);
    },
    get output() {
      return running.lines.entries.map(({ text }) => `${text}\n`).join("");
    },
    waitForLog: (fits, what = "such log line", deadlineMs = DEADLINE_MS) =>
      find(fits, what, deadlineMs),
    signal: (signal) => running.signal(signal),
    exited: running.exited,
    stop: (deadlineMs) => running.stop(deadlineMs),
    get: (at) => fetch(url + at, { signal: AbortSignal.timeout(DEADLINE_MS) }),
  };
}

/** Runs the service where it has to end by itself: `--help`, or an error in its configuration. */
export async function runToExit(
  target: Target,
  options: GatewayOptions = {},
): Promise<FinishedRun> {
  const running = await launch(target, options, false);
  try {
    const exit = await within(
      running.exited,
      () => `end of the process; it said: ${JSON.stringify(running.lines.entries.slice(-12))}`,
    );
    const text = (stream: "stdout" | "stderr"): string =>
      running.lines.entries
        .filter((line) => line.stream === stream)
        .map((line) => `${line.text}\n`)
        .join("");
    return { ...exit, stdout: text("stdout"), stderr: text("stderr") };
  } finally {
    running.signal("SIGKILL");
  }
}

async function launch(
  target: Target,
  options: GatewayOptions,
  freePort: boolean,
): Promise<RunningProcess> {
  if (target.isEdge) return await launchEdge(target, options);
  const { args = [], command: words = [], env = {}, config, cwd = ROOT } = options;
  const command = [...target.command(), ...words];
  const directory = await mkdtemp(join(tmpdir(), "spillway-test-"));
  if (config !== undefined) {
    const file = join(directory, "spillway.json");
    await writeFile(file, typeof config === "string" ? config : JSON.stringify(config));
    command.push("--config", file);
  }
  if (freePort && env.PORT === undefined && !args.includes("--port")) command.push("--port", "0");
  return await startProcess(`gateway on ${target.name}`, [...command, ...args], {
    cwd,
    env: { ...cleanEnvironment(), ...target.env, ...env },
    directory,
  });
}

/** A host without a command line and files gets all by variables, and reaches NATS by WebSockets. */
async function launchEdge(
  target: Target,
  { args = [], command: words = [], env = {}, config = {} }: GatewayOptions,
): Promise<RunningProcess> {
  const [flag, port = "0"] = args;
  if (words.length > 0 || ![undefined, "--port"].includes(flag) || args.length > 2) {
    throw new Error(`${target.name} takes no command and no argument but --port`);
  }
  const content = typeof config === "string" ? config : JSON.stringify(config);
  const directory = await mkdtemp(join(tmpdir(), "spillway-test-"));
  return await startProcess(`gateway on ${target.name}`, target.command(port), {
    cwd: ROOT,
    env: {
      ...{ ...cleanEnvironment(), ...target.env, TMPDIR: directory },
      ...{ SPILLWAY_CONFIG: withWebSockets(content), ...env },
    },
    directory,
    // A program starts workerd, which must not outlive it.
    group: target.runtime === "workerd",
  });
}

/** What a program needs to find its way, and no setting of the service. */
export function cleanEnvironment(): Record<string, string> {
  const env: Record<string, string> = { NO_COLOR: "1" };
  for (const name of ["PATH", "HOME", "TMPDIR", "LANG", "DENO_DIR", "DENO_TLS_CA_STORE"]) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}

function isListening({ properties }: LogLine): boolean {
  return properties.event === "listening";
}

function parseLogLine(text: string): LogLine | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    const line = JSON.parse(text) as Partial<LogLine>;
    return typeof line.level === "string" && typeof line.properties === "object"
      ? (line as LogLine)
      : undefined;
  } catch {
    return undefined;
  }
}
