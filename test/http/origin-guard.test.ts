import { describe, expect, test } from "bun:test";
import { Hono } from "hono";
import type { Log } from "../../src/core/ports/log.ts";
import { createGateway } from "../../src/gateway/gateway.ts";
import { Guard, type GuardOptions, type ListenAddress } from "../../src/http/origin-guard.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

interface Setting extends Partial<GuardOptions> {
  readonly listening?: ListenAddress | undefined;
}

/** An app behind a guard: by default on loopback, with nothing allowed. */
function guarded({ listening, ...options }: Setting = {}) {
  const said: Record<string, unknown>[] = [];
  const say = (_message: string, properties = {}) => void said.push(properties);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const clock = new ManualClock();
  const guard = new Guard(
    {
      allowedOrigins: [],
      allowedHosts: [],
      host: "127.0.0.1",
      eventsPath: "/ws/sse",
      takesCredentials: false,
      ...options,
    },
    { log, clock, listening: () => listening },
  );
  const app = new Hono();
  app.use("*", guard.handler);
  app.all("/boom", (c) => c.text("no", 503));
  app.all("*", (c) => c.text("served"));
  const ask = (headers: Record<string, string>, path = "/x", method = "GET") =>
    app.request(`http://${headers.Host ?? "localhost:8080"}${path}`, { method, headers });
  const status = async (...request: Parameters<typeof ask>) => (await ask(...request)).status;
  return { app, ask, status, said, clock };
}

const LOOPBACK = { address: "127.0.0.1", port: 8080 };
const EVERYWHERE = { address: "0.0.0.0", port: 8080 };

describe("Host", () => {
  test.each([
    "localhost:8080",
    "LOCALHOST",
    "127.0.0.1:9",
    "127.8.9.1",
    "[::1]:8080",
    "a.localhost",
  ])("%s is right on loopback", async (Host) => {
    expect(await guarded({ listening: LOOPBACK }).status({ Host })).toBe(200);
  });

  test.each(["rebound.example:8080", "localhost.evil.example", "192.0.2.7:8080", "0.0.0.0:8080"])(
    "%s is refused on loopback, and the refusal names what would allow it",
    async (Host) => {
      const { ask, said } = guarded({ listening: LOOPBACK });
      const response = await ask({ Host });
      expect(response.status).toBe(403);
      expect((await response.json()).detail).toContain("allowed_hosts");
      const name = Host.replace(/:\d+$/, "");
      expect(said).toMatchObject([
        { event: "host_refused", host: name, setting: `SPILLWAY_ALLOWED_HOSTS=${name}` },
      ]);
    },
  );

  test("must be right, and so must an absolute target, of which a runtime makes the URL", async () => {
    const { app } = guarded({ listening: LOOPBACK });
    const ask = async (url: string, Host: string) =>
      (await app.request(url, { headers: { Host } })).status;
    expect(await ask("http://localhost/x", "localhost")).toBe(200);
    expect(await ask("http://evil.example/x", "localhost")).toBe(403);
    expect(await ask("http://localhost/x", "evil.example")).toBe(403);
    // HTTP/2 and HTTP/1.0 have none.
    expect((await app.request("http://evil.example/x")).status).toBe(403);
    expect((await app.request("http://localhost/x")).status).toBe(200);
  });

  test("is right when allowed_hosts, host or an origin of allowed_origins names it", async () => {
    const options = {
      listening: { address: "127.0.1.1", port: 8080 },
      host: "debian",
      allowedHosts: ["app.example.com"],
      allowedOrigins: ["https://other.example.com:8443"],
    };
    const { status } = guarded(options);
    for (const Host of [
      "app.example.com",
      "APP.example.com.:99",
      "debian:8080",
      "other.example.com",
    ]) {
      expect([Host, await status({ Host })]).toEqual([Host, 200]);
    }
    expect(await status({ Host: "sub.app.example.com" })).toBe(403);
  });

  test("is anything where any page may connect", async () => {
    for (const any of [{ allowedHosts: ["*"] }, { allowedOrigins: ["*"] }]) {
      const { status } = guarded({ ...any, listening: LOOPBACK });
      expect(await status({ Host: "any.example" })).toBe(200);
    }
  });

  test("is looked at elsewhere, and in a host's own server, only where allowed_hosts isn't empty", async () => {
    for (const listening of [EVERYWHERE, undefined]) {
      expect(await guarded({ listening }).status({ Host: "any.example" })).toBe(200);
      const { status } = guarded({ listening, allowedHosts: ["app.example.com"] });
      expect(await status({ Host: "any.example" })).toBe(403);
      expect(await status({ Host: "app.example.com" })).toBe(200);
      // Probes use the address.
      expect(await status({ Host: "10.0.0.7:8080" })).toBe(200);
    }
  });
});

describe("Request of another site", () => {
  const { status } = guarded({ listening: LOOPBACK });

  test.each(["cross-site", "same-site", "Cross-Site", "what-comes-next"])(
    "with Sec-Fetch-Site: %s and no Origin is refused, however it is made",
    async (site) => {
      const headers = { "Sec-Fetch-Site": site };
      expect(await status(headers)).toBe(403);
      for (const [mode, dest] of [
        ["no-cors", "script"],
        ["no-cors", "image"],
        ["navigate", "iframe"],
        ["navigate", "embed"],
        ["cors", "empty"],
      ]) {
        const made = { ...headers, "Sec-Fetch-Mode": mode!, "Sec-Fetch-Dest": dest! };
        expect([mode, dest, await status(made)]).toEqual([mode, dest, 403]);
      }
    },
  );

  test("is served when somebody follows a link, but for a stream", async () => {
    const followed = {
      "Sec-Fetch-Site": "cross-site",
      "Sec-Fetch-Mode": "navigate",
      "Sec-Fetch-Dest": "document",
    };
    expect(await status(followed, "/")).toBe(200);
    expect(await status(followed, "/", "POST")).toBe(403);
    expect(await status(followed, "/ws/sse")).toBe(403);
  });

  test("is no request of the gateway's own page, of an address that was typed, or of a program", async () => {
    for (const headers of [{ "Sec-Fetch-Site": "same-origin" }, { "Sec-Fetch-Site": "none" }, {}]) {
      expect(await status(headers as Record<string, string>)).toBe(200);
    }
  });

  test("behind a proxy that leaves out the port is told by the browser, where that tells", async () => {
    const { status } = guarded({ listening: EVERYWHERE });
    const headers = { Host: "app.example.com", Origin: "https://app.example.com:8443" };
    expect(await status(headers)).toBe(200);
    expect(await status({ ...headers, "Sec-Fetch-Site": "same-origin" })).toBe(200);
    expect(await status({ ...headers, "Sec-Fetch-Site": "same-site" })).toBe(403);
  });
});

describe("Page of an allowed origin", () => {
  const Origin = "https://app.example.com";
  const allowed = { allowedOrigins: [Origin], listening: LOOPBACK };

  test("may read what is answered, errors too", async () => {
    const { ask } = guarded(allowed);
    for (const path of ["/x", "/boom"]) {
      const { headers } = await ask({ Origin, "Sec-Fetch-Site": "cross-site" }, path);
      expect(headers.get("access-control-allow-origin")).toBe(Origin);
      expect(headers.get("vary")).toBe("Origin");
      expect(headers.get("access-control-expose-headers")).toBe("Retry-After, WWW-Authenticate");
      expect(headers.has("access-control-allow-credentials")).toBe(false);
    }
  });

  test("has its preflights answered", async () => {
    const { ask } = guarded(allowed);
    const preflight = {
      Origin,
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "content-type,last-event-id",
    };
    const response = await ask(preflight, "/publish/a", "OPTIONS");
    expect([response.status, await response.text()]).toEqual([204, ""]);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "access-control-allow-origin": Origin,
      "access-control-allow-methods": "GET, HEAD, POST",
      "access-control-allow-headers": "content-type,last-event-id",
      "access-control-max-age": "7200",
      vary: "Origin",
    });
    // Without a method it is no preflight.
    expect(await (await ask({ Origin }, "/x", "OPTIONS")).text()).toBe("served");
  });

  test("is only one of the list, and what another one gets differs by Origin", async () => {
    const { ask } = guarded(allowed);
    for (const other of ["https://evil.example", "http://app.example.com", "null", `${Origin}.`]) {
      for (const method of ["GET", "POST", "OPTIONS"]) {
        const headers = { Origin: other, "Access-Control-Request-Method": "GET" };
        const response = await ask(headers, "/x", method);
        expect([other, method, response.status]).toEqual([other, method, 403]);
        expect(response.headers.has("access-control-allow-origin")).toBe(false);
        expect(response.headers.get("vary")).toBe("Origin");
      }
    }
    expect((await ask({})).headers.get("vary")).toBe("Origin");
  });

  test("may be a file when null is on the list, and any with *", async () => {
    const file = guarded({ allowedOrigins: ["null"], listening: LOOPBACK });
    const read = await file.ask({ Origin: "null", "Sec-Fetch-Site": "cross-site" });
    expect([read.status, read.headers.get("access-control-allow-origin")]).toEqual([200, "null"]);
    expect(await file.status({ Origin: "https://evil.example" })).toBe(403);
    const any = guarded({ allowedOrigins: ["*"], listening: LOOPBACK });
    const { headers } = await any.ask({ Origin: "https://any.example" });
    expect(headers.get("access-control-allow-origin")).toBe("https://any.example");
    expect(await any.status({ "Sec-Fetch-Site": "cross-site" })).toBe(200);
  });
});

describe("Refusal", () => {
  test("is logged with the setting that would allow it, beside what is allowed", async () => {
    const { status, said } = guarded({
      allowedOrigins: ["https://a.example"],
      listening: LOOPBACK,
    });
    await status({ Origin: "http://localhost:5173" });
    await status({ Origin: "null" });
    expect(said).toEqual([
      {
        event: "origin_refused",
        origin: "http://localhost:5173",
        setting: "SPILLWAY_ALLOWED_ORIGINS=https://a.example,http://localhost:5173",
        others: 0,
      },
      {
        event: "origin_refused",
        origin: "null",
        setting: "SPILLWAY_ALLOWED_ORIGINS=https://a.example,null",
        others: 0,
      },
    ]);
  });

  test("is logged once in ten seconds of each kind, with how many others there were", async () => {
    const { status, said, clock } = guarded({ listening: LOOPBACK });
    for (let n = 0; n < 100; n++) {
      await status({ Origin: `https://evil-${n}.example` });
      await status({ Host: `evil-${n}.example` });
      await status({ "Sec-Fetch-Site": "cross-site" });
    }
    expect(said.map(({ event }) => event)).toEqual([
      "origin_refused",
      "host_refused",
      "site_refused",
    ]);
    clock.advance(10_000);
    await status({ Origin: "https://late.example" });
    expect(said[3]).toMatchObject({ origin: "https://late.example", others: 99 });
  });

  test("shows nothing of what isn't an origin or a name", async () => {
    const { ask, said } = guarded({ listening: LOOPBACK });
    const response = await ask({ Origin: "https://a b\u001b[31m" });
    expect(await response.text()).not.toContain("[31m");
    expect(JSON.stringify(said)).not.toContain("[31m");
  });
});

describe("Guard of a mounted gateway", () => {
  const foreign = { headers: { "Sec-Fetch-Site": "cross-site" } };

  test.each(["/live", "/"])(
    "at %s keeps its own paths, and no other of its host",
    async (prefix) => {
      const gateway = await createGateway({ allowed_hosts: ["app.example.com"] });
      const host = new Hono().route(prefix, gateway.app);
      host.get("/own", (c) => c.text("the host's"));
      host.get("/live/own", (c) => c.text("the host's"));
      const at = (path: string): string =>
        `http://app.example.com${prefix.replace(/\/$/, "")}${path}`;
      for (const path of [
        "",
        "/ws",
        "/ws/sse",
        "/livez",
        "/metrics",
        "/healthz",
        "/client.js",
        "/publish/a",
      ]) {
        expect([path, (await host.request(at(path), foreign)).status]).toEqual([path, 403]);
        const rebound = at(path).replace("app.example.com", "rebound.example");
        expect([path, (await host.request(rebound)).status]).toEqual([path, 403]);
      }
      expect((await host.request(at("/livez"))).status).toBe(200);
      for (const path of ["/own", "/live/own"]) {
        expect((await host.request(`http://rebound.example${path}`, foreign)).status).toBe(200);
      }
    },
  );
});
