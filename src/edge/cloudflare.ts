import type { Environment } from "../config/environment.ts";
import { reasonOf } from "../core/ports/errors.ts";
import { createCloudflareRuntime } from "../runtime/cloudflare.ts";
import { natsUrlProblems, UNSUPPORTED_KEYS, UNUSED_KEYS } from "./cloudflare-keys.ts";
import { type ObjectChoice, ObjectRoutes } from "./object-routes.ts";
import { type EdgeGateway, openGateway } from "./open-gateway.ts";

/** The variables, secrets and bindings of a Worker. */
export type WorkerEnvironment = Readonly<Record<string, unknown>>;

/** The part of a Durable Object's `ctx` that is used. */
export interface DurableObjectContext {
  readonly storage: {
    setAlarm(atMs: number, options?: { readonly allowUnconfirmed?: boolean }): Promise<void>;
  };
}

/** A file in the configuration that is a variable or a secret of the Worker: `env:NATS_CREDS`. */
const VARIABLE = /^env:(.+)$/;

/**
 * The time between two alarms of a gateway that runs. An alarm keeps a gateway with clients in memory: Cloudflare may end an
 * object after 70 seconds without a request or an event, however many messages it sends
 * (https://developers.cloudflare.com/durable-objects/concepts/durable-object-lifecycle/).
 */
const ALARM_MS = 30_000;

/**
 * The Durable Object that is a gateway. It starts with its first request. Without requests, clients and sessions, the
 * second alarm stops it: its timers and its connection to NATS would keep it in memory
 * (https://developers.cloudflare.com/changelog/post/2026-10-01-pending-io-keep-alive/). The next request starts it again.
 */
export class SpillwayObject {
  readonly #context: DurableObjectContext;
  readonly #env: WorkerEnvironment;
  #opening: Promise<EdgeGateway> | undefined;
  #hasAlarm = false;
  /** Whether a request came since the last alarm, or the gateway had clients or sessions then. */
  #wasUsed = false;

  constructor(context: DurableObjectContext, env: WorkerEnvironment) {
    this.#context = context;
    this.#env = env;
  }

  /** Answers 503 if the gateway can't be started; the log says why. */
  async fetch(request: Request): Promise<Response> {
    this.#wasUsed = true;
    let opened: EdgeGateway;
    try {
      this.#opening ??= open(this.#env);
      opened = await this.#opening;
      await opened.gateway.start();
    } catch (error) {
      this.#opening = undefined;
      write(reasonOf(error), "error");
      return problem(503, "Service Unavailable", "The gateway can't start; its log says why");
    }
    if (!this.#hasAlarm) this.#setAlarm(opened);
    return await opened.engine.app.fetch(request);
  }

  /** Keeps a gateway in memory that is in use, and stops one that is not. */
  async alarm(): Promise<void> {
    this.#hasAlarm = false;
    const opened = await this.#opening?.catch(() => undefined);
    if (opened === undefined) return;
    const { clients, sessions } = opened.engine.stats();
    const isUsed = clients.connected + sessions.detached > 0;
    if (isUsed || this.#wasUsed) {
      this.#wasUsed = isUsed;
      this.#setAlarm(opened);
      return;
    }
    await opened.gateway.stop().catch((error: unknown) => {
      const reason = reasonOf(error);
      opened.log.warn("Cannot stop: {reason}", { event: "stop_failed", reason });
    });
  }

  #setAlarm({ log }: EdgeGateway): void {
    this.#hasAlarm = true;
    // Messages to clients don't wait for the alarm to be stored.
    this.#context.storage
      .setAlarm(Date.now() + ALARM_MS, { allowUnconfirmed: true })
      .catch((error: unknown) => {
        this.#hasAlarm = false;
        log.warn("Cannot set the alarm that keeps the Durable Object in memory: {reason}", {
          ...{ event: "alarm_failed", reason: reasonOf(error) },
        });
      });
  }
}

/** Options of how a Worker spreads clients over Durable Objects. */
export interface WorkerOptions {
  /** The binding of the Durable Objects. Default: `"GATEWAYS"`. */
  readonly binding?: string;
  /**
   * The number of objects, or their names. A path that begins with a name is that object's: `/eu/ws`; the objects of a
   * number are `1`, `2` and so on. Any other path belongs to the object that the hash of the client's address chooses if
   * this is a number, and to none if these are names. Default: 1.
   */
  readonly objects?: ObjectChoice;
  /** A hint at the place where objects run: near NATS, as a rule (https://developers.cloudflare.com/durable-objects/reference/data-location/). */
  readonly locationHint?: string;
}

/** A Worker's default export. */
export interface GatewayWorker {
  fetch(request: Request, env: WorkerEnvironment): Promise<Response>;
}

/** The part of a binding of Durable Objects that is used. */
interface DurableObjectNamespace {
  idFromName(name: string): unknown;
  get(
    id: unknown,
    options?: { readonly locationHint?: string },
  ): { fetch(request: Request): Promise<Response> };
}

/**
 * Creates the Worker that passes requests on to gateways in Durable Objects.
 *
 * @throws RangeError if `objects` is no whole number above 0, or has no names, or a name that isn't one word of a path.
 */
export function createWorker(options: WorkerOptions = {}): GatewayWorker {
  const { binding = "GATEWAYS", objects = 1, locationHint } = options;
  const routes = new ObjectRoutes(objects);
  return {
    async fetch(request, env) {
      const namespace = env[binding] as DurableObjectNamespace | undefined;
      if (typeof namespace?.idFromName !== "function") {
        write(
          `There are no Durable Objects at the binding "${binding}": add it to "durable_objects" in wrangler.jsonc`,
          "error",
        );
        return problem(503, "Service Unavailable", "The Worker is incomplete; its log says why");
      }
      const route = routes.of(request);
      if (route === undefined) {
        const { pathname } = new URL(request.url);
        return problem(404, "Not Found", `Nothing is served at ${pathname}`);
      }
      const place = locationHint === undefined ? undefined : { locationHint };
      const object = namespace.get(namespace.idFromName(route.name), place);
      return await object.fetch(route.request);
    },
  };
}

async function open(bindings: WorkerEnvironment): Promise<EdgeGateway> {
  const env = textsOf(bindings);
  return await openGateway({
    name: "Cloudflare Workers",
    env,
    createRuntime: createCloudflareRuntime,
    unused: UNUSED_KEYS,
    unsupported: UNSUPPORTED_KEYS,
    checks: natsUrlProblems,
    readTextFile(path) {
      const [, name = ""] = VARIABLE.exec(path) ?? [];
      const content = env[name];
      if (content !== undefined) return content;
      throw new Error(
        name === ""
          ? "there are no files here: it can be a variable or secret of the Worker, env:NAME"
          : `the Worker has no variable or secret ${name}`,
      );
    },
    write,
  });
}

/** Returns the variables and secrets. A variable of wrangler's configuration may be JSON; bindings are objects of classes. */
function textsOf(bindings: WorkerEnvironment): Environment {
  const texts = Object.entries(bindings).flatMap(([name, value]) => {
    if (typeof value === "string") return [[name, value] as const];
    if (!isPlain(value)) return [];
    return [[name, JSON.stringify(value)] as const];
  });
  return Object.fromEntries(texts);
}

function isPlain(value: unknown): boolean {
  if (typeof value !== "object") return typeof value === "number" || typeof value === "boolean";
  return (
    value !== null && (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype)
  );
}

function write(line: string, level: "info" | "error" = "info"): void {
  // biome-ignore lint/suspicious/noConsole: the log of a Worker
  console[level](line);
}

function problem(status: number, title: string, detail: string): Response {
  const headers = { "Content-Type": "application/problem+json" };
  const body = JSON.stringify({ type: "about:blank", title, status, detail });
  return new Response(body, { status, headers });
}
