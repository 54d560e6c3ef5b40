import type { Context, MiddlewareHandler } from "hono";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import { hostnameOf, isAddress, isLoopback, readAuthority } from "./host.ts";
import { isOwnOrigin, printableOrigin } from "./origin.ts";
import { problem } from "./problem.ts";

export interface GuardOptions {
  /** Origins like `https://app.example.com`, `null`, or `*` for all. */
  readonly allowedOrigins: readonly string[];
  /** Names like `app.example.com`, or `*` for all. */
  readonly allowedHosts: readonly string[];
  /** The configured host, which is always a valid name of the gateway. */
  readonly host: string;
  /** Whether pages of `allowedOrigins` may send cookies and other credentials. */
  readonly takesCredentials: boolean;
  /** The path of the server-sent events, relative to the mount point. */
  readonly eventsPath: string;
}

/** The address of our own server. */
export interface ListenAddress {
  readonly address: string;
  readonly port: number;
}

export interface GuardParts {
  readonly log: Log;
  readonly clock: Clock;
  /** Returns `undefined` in a host's own server, whose address is unknown. */
  readonly listening: () => ListenAddress | undefined;
  /** Returns the port of the console, if it has a listener of its own; its page is one of the gateway's. */
  readonly consolePort?: () => number | undefined;
}

/** The kinds of refusals. Each is logged separately. */
type RefusalKind = "host" | "null" | "origin" | "site";

/** Minimum time between two log lines about the same kind of refusal. */
const INTERVAL_MS = 10_000;

/** The same answer for all paths. The request that follows may get 404 or 405. */
const PREFLIGHT = {
  "Access-Control-Allow-Methods": "GET, HEAD, POST",
  // Chromium's maximum. The request that follows is checked again.
  "Access-Control-Max-Age": "7200",
};

/**
 * Refuses a browser's requests for pages that may not use the gateway. Without this, every page that a user visits could
 * reach a gateway on the user's machine or network. It doesn't apply to programs, which send neither `Origin` nor
 * `Sec-Fetch-Site`.
 *
 * - **`Host`**: a page can make its own name resolve to this machine (DNS rebinding). The browser then takes the gateway
 *   for the page's own server and sends no `Origin`, but `Host` has the page's name.
 * - **`Origin`** (RFC 6454 §7): only pages of the gateway's own origin and of `allowed_origins` are served. Pages of
 *   `allowed_origins` can read all answers (CORS), including refusals.
 * - **`Sec-Fetch-Site`** (https://www.w3.org/TR/fetch-metadata/): requests of other sites for images, scripts and frames
 *   have no `Origin`, and are refused. Links that a user follows are served.
 */
export class Guard {
  readonly #options: GuardOptions;
  readonly #parts: GuardParts;
  readonly #hosts: ReadonlySet<string>;
  readonly #anyOrigin: boolean;
  readonly #anyHost: boolean;
  readonly #limit: LogLimit<RefusalKind>;

  constructor(options: GuardOptions, parts: GuardParts) {
    this.#options = options;
    this.#parts = parts;
    this.#limit = new LogLimit(parts.clock, INTERVAL_MS);
    const { allowedOrigins, allowedHosts, host } = options;
    this.#anyOrigin = allowedOrigins.includes("*");
    // Names protect against pages. If every page may connect, names don't matter.
    this.#anyHost = this.#anyOrigin || allowedHosts.includes("*");
    const origins = allowedOrigins.filter((origin) => URL.canParse(origin));
    this.#hosts = new Set([
      hostnameOf(host),
      ...allowedHosts,
      ...origins.map((origin) => new URL(origin).hostname),
    ]);
  }

  /** The middleware, which must be before all routes. */
  get handler(): MiddlewareHandler {
    return async (c, next) => {
      // Every answer depends on the origin. Set it before `next`, because some runtimes' 101 can't be changed.
      c.header("Vary", "Origin");
      const refusal = this.#hostRefusal(c);
      if (refusal !== undefined) return refusal;
      const origin = c.req.header("origin");
      if (origin !== undefined && (this.#isListed(origin) || this.#isConsole(c, origin))) {
        c.header("Access-Control-Allow-Origin", origin);
        c.header("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate");
        if (this.#options.takesCredentials && this.#isNamed(origin)) {
          c.header("Access-Control-Allow-Credentials", "true");
        }
        if (isPreflight(c)) return preflight(c);
        return await next();
      }
      const foreign = this.#originRefusal(c, origin);
      return foreign ?? (await next());
    };
  }

  /**
   * Returns whether a page makes the request that may use the user's cookies: one of our own origin, or of an origin
   * that `allowed_origins` names. Neither `*` nor `null` names anybody, and programs have no users.
   */
  countsCookies(c: Context): boolean {
    const origin = c.req.header("origin");
    if (origin !== undefined) return this.#isNamed(origin) || this.#isOwn(c, origin);
    // Browsers send no Origin with a GET of the same origin, but this.
    return c.req.header("sec-fetch-site") === "same-origin";
  }

  #isNamed(origin: string): boolean {
    return origin !== "null" && origin !== "*" && this.#options.allowedOrigins.includes(origin);
  }

  #isListed(origin: string): boolean {
    return this.#anyOrigin || this.#options.allowedOrigins.includes(origin);
  }

  /** Returns whether the page is the console on another port of this host. */
  #isConsole(c: Context, origin: string): boolean {
    const port = this.#parts.consolePort?.();
    if (port === undefined || !URL.canParse(origin)) return false;
    const page = new URL(origin);
    const own = readAuthority(c.req.header("host") ?? "")?.name;
    return own === page.hostname && page.port === `${port}`;
  }

  #hostRefusal(c: Context): Response | undefined {
    if (this.#anyHost) return undefined;
    const header = c.req.header("host");
    const { url } = c.req;
    // An absolute request target takes precedence over Host (RFC 9112 §3.2.2), and HTTP/2 has no Host.
    const target = URL.canParse(url) ? new URL(url).host : undefined;
    const wrong = [header, target].find((host) => host !== undefined && !this.#isOwnHost(host));
    if (wrong === undefined) return undefined;
    const name = readAuthority(wrong)?.name;
    const shown = name !== undefined && /^[\w.:[\]-]{1,255}$/.test(name) ? name : undefined;
    this.#say(
      "host",
      "Refused a request for {host}, which is not a name of this gateway; if it is one, add it to allowed_hosts: {setting}",
      {
        event: "host_refused",
        host: shown ?? "a Host that can't be read",
        setting: this.#setting("allowed_hosts", this.#options.allowedHosts, shown ?? "<name>"),
      },
    );
    const detail =
      shown === undefined
        ? "The Host header must be the name of this gateway"
        : `${shown} is not a name of this gateway: if it is one, add it to allowed_hosts`;
    return problem(c, 403, detail);
  }

  #isOwnHost(host: string): boolean {
    const name = readAuthority(host)?.name;
    const listening = this.#parts.listening();
    const local = listening !== undefined && isLoopback(listening.address);
    // A gateway on the network can't know its own names.
    if (!local && this.#options.allowedHosts.length === 0) return true;
    if (name === undefined) return false;
    // Health probes use the IP address. DNS rebinding needs a name.
    return isLoopback(name) || this.#hosts.has(name) || (!local && isAddress(name));
  }

  #originRefusal(c: Context, origin: string | undefined): Response | undefined {
    if (origin === undefined) {
      if (!isForeign(c) || this.#anyOrigin) return undefined;
      return this.#isNavigation(c) ? undefined : this.#foreign(c);
    }
    return this.#isOwn(c, origin) ? undefined : this.#foreignOrigin(c, origin);
  }

  #isOwn(c: Context, origin: string): boolean {
    const host = c.req.header("host") ?? (URL.canParse(c.req.url) ? new URL(c.req.url).host : "");
    // With Sec-Fetch-Site, the browser itself compared the ports, also if `Host` has none.
    const port = isForeign(c) ? undefined : this.#parts.listening()?.port;
    return isOwnOrigin(origin, host, port);
  }

  #foreignOrigin(c: Context, origin: string): Response {
    const shown = printableOrigin(origin);
    const setting = this.#setting(
      "allowed_origins",
      this.#options.allowedOrigins,
      shown ?? "<origin>",
    );
    const properties = { event: "origin_refused", origin: shown ?? "an origin that can't be read" };
    if (origin === "null") {
      this.#say(
        "null",
        "Refused a page without an origin: a file, or a sandboxed frame of any site. If such pages may connect, add null to allowed_origins: {setting}",
        { ...properties, setting },
      );
      return problem(
        c,
        403,
        "Pages from files and sandboxes (Origin: null) may not connect: serve the page over HTTP, or add null to allowed_origins",
      );
    }
    this.#say(
      "origin",
      "Refused a page of {origin}; if it may connect, add it to allowed_origins: {setting}",
      { ...properties, setting },
    );
    return problem(
      c,
      403,
      `Pages from ${shown ?? "there"} may not connect: add the origin to allowed_origins`,
    );
  }

  #foreign(c: Context): Response {
    this.#say(
      "site",
      "Refused a request without an Origin that a page of another site made (an image, a script, a frame); WebSocket, EventSource and fetch send one, which allowed_origins can allow",
      { event: "site_refused" },
    );
    return problem(
      c,
      403,
      "Pages of other sites may use this only with an Origin (EventSource, WebSocket, fetch) that is in allowed_origins",
    );
  }

  /** Returns whether a user follows a link. The page with the link can't read the answer. */
  #isNavigation(c: Context): boolean {
    return (
      (c.req.method === "GET" || c.req.method === "HEAD") &&
      c.req.header("sec-fetch-mode") === "navigate" &&
      c.req.header("sec-fetch-dest") === "document" &&
      // A tab would wait for the end of the events, and count as a client.
      !c.req.path.endsWith(this.#options.eventsPath)
    );
  }

  /** Returns the environment variable that allows another value in addition to the present ones. */
  #setting(key: string, present: readonly string[], another: string): string {
    return `SPILLWAY_${key.toUpperCase()}=${[...present, another].join(",")}`;
  }

  #say(kind: RefusalKind, message: string, properties: Record<string, unknown>): void {
    const others = this.#limit.othersBefore(kind);
    if (others !== undefined) this.#parts.log.warn(message, { ...properties, others });
  }
}

/** Returns whether a browser says that a page of another origin makes the request. */
function isForeign(c: Context): boolean {
  const site = c.req.header("sec-fetch-site");
  return site !== undefined && site !== "same-origin" && site !== "none";
}

function isPreflight(c: Context): boolean {
  return c.req.method === "OPTIONS" && c.req.header("access-control-request-method") !== undefined;
}

/** Answers a preflight (https://fetch.spec.whatwg.org/#cors-preflight-fetch). */
function preflight(c: Context): Response {
  const headers = c.req.header("access-control-request-headers");
  return c.body(null, 204, {
    ...PREFLIGHT,
    // No request header gives a page more rights here, so all are allowed.
    ...(headers !== undefined && { "Access-Control-Allow-Headers": headers }),
  });
}
