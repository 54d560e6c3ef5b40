/** Pages of attackers in a real browser, whose user is logged in at the gateway with a cookie. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Page } from "puppeteer-core";
import { bearer } from "../contract/support/hostile-rows.ts";
import { STATIC_TOKEN, TokenMaker } from "../contract/support/hostile-tokens.ts";
import { describeInBrowser, eventually } from "../support/browser.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { TARGETS } from "../support/runtimes.ts";
import { V1Client } from "../support/v1-client.ts";

/** What a page got from the gateway. */
interface Loot {
  readonly webSocket: string;
  readonly v1: string;
  readonly eventSource: string;
  readonly posted: string;
}

const NOTHING: Loot = {
  webSocket: "refused",
  v1: "refused",
  eventSource: "refused",
  posted: "unreadable",
};
const EVERYTHING: Loot = {
  webSocket: "open",
  v1: "open",
  eventSource: "open",
  posted: "202",
};

/** Connects in each way whose result a page can see, with the user's cookies. */
function connectAll(page: Page, { url, wsUrl }: { url: string; wsUrl: string }): Promise<Loot> {
  return page.evaluate(
    async (url, wsUrl) => {
      const opened = (source: WebSocket | EventSource): Promise<string> =>
        new Promise((resolve) => {
          source.onopen = () => {
            source.close();
            resolve("open");
          };
          source.onerror = () => {
            source.close();
            resolve("refused");
          };
        });
      const init: RequestInit = { method: "POST", body: "1", credentials: "include" };
      return {
        webSocket: await opened(new WebSocket(wsUrl)),
        v1: await opened(new WebSocket(wsUrl, "spillway.v1.json")),
        eventSource: await opened(new EventSource(`${url}/ws/sse`, { withCredentials: true })),
        posted: await fetch(`${url}/publish/live.read`, init).then(
          ({ status }) => `${status}`,
          () => "unreadable",
        ),
      };
    },
    url,
    wsUrl,
  );
}

/** Makes requests in each way that needs nobody's permission, and returns when the browser has answers to all. */
function askBlindly(page: Page, url: string): Promise<number> {
  return page.evaluate(async (url) => {
    const sse = `${url}/ws/sse?subjects=live.%3E`;
    const init: RequestInit = { mode: "no-cors", credentials: "include" };
    const loaded = (element: HTMLElement & { src: string }): Promise<unknown> =>
      new Promise((resolve) => {
        element.onload = element.onerror = resolve;
        element.src = sse;
        document.body.append(element);
      });
    const form = document.createElement("form");
    const frame = document.createElement("iframe");
    frame.name = "answer";
    document.body.append(frame, form);
    Object.assign(form, {
      action: `${url}/publish/live.form`,
      method: "POST",
      enctype: "text/plain",
      target: "answer",
    });
    const answered = new Promise((resolve) => {
      frame.onload = resolve;
    });
    form.submit();
    navigator.sendBeacon(`${url}/publish/live.beacon`, "1");
    const answers = await Promise.all([
      fetch(sse, init),
      fetch(`${url}/publish/live.blind`, { ...init, method: "POST", body: "1" }),
      loaded(document.createElement("img")),
      loaded(document.createElement("script")),
      loaded(document.createElement("iframe")),
      answered,
    ]);
    return answers.length;
  }, url);
}

await describeInBrowser("Page of an attacker, whose user is logged in", (open) => {
  let maker: TokenMaker;
  let site: ReturnType<typeof Bun.serve>;
  let gateway: Gateway | undefined;
  beforeAll(async () => {
    maker = await TokenMaker.open();
    site = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () =>
        new Response("<!doctype html><body>", { headers: { "Content-Type": "text/html" } }),
    });
  });
  afterEach(async () => {
    await gateway?.stop();
    gateway = undefined;
  });
  afterAll(async () => {
    await site.stop(true);
    await maker.close();
  });

  /** Starts a gateway for a user whose token is in a cookie of this name. */
  async function start(
    name: "bun" | "deno" | "node",
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<Gateway> {
    const options = { subjects: ["live.>"], token_cookie: "token", log_level: "debug" };
    const config = { ...maker.settings, ...options, ...more };
    gateway = await startGateway(TARGETS[name], { config });
    return gateway;
  }

  /** Opens a page of an origin in a browser that has the user's cookie for a host. */
  async function openLoggedIn(origin: string, host: string): Promise<Page> {
    const { page } = await open(origin);
    // The least that a browser keeps to itself.
    const sameSite = host === "localhost" ? "None" : "Lax";
    const secure = host === "localhost";
    await page.browserContext().setCookie({
      name: "token",
      value: await maker.token({ claims: publishing }),
      domain: host,
      path: "/",
      sameSite,
      secure,
      httpOnly: true,
    });
    return page;
  }
  const publishing = {
    authorization_details: [
      { type: "spillway", actions: ["subscribe", "publish"], subjects: { allow: [">"] } },
    ],
  };

  /** A client that sees what is published. */
  async function witness({ wsUrl }: Gateway): Promise<V1Client> {
    const headers = { "Sec-WebSocket-Protocol": "spillway.v1.json", ...bearer(STATIC_TOKEN) };
    const client = new V1Client(await openRaw(wsUrl, { headers }));
    await client.subscribe("1", ["live.>"]);
    return client;
  }

  for (const name of ["bun", "deno", "node"] as const) {
    for (const [kind, host, evil] of [
      ["another site", "localhost", "evil.example"],
      ["another origin of the same site", "gateway.example", "evil.gateway.example"],
    ] as const) {
      test(`on ${kind} hijacks no connection and publishes nothing; ${name}`, async () => {
        const origin = `http://${evil}:${site.port}`;
        const names = { allowed_hosts: [host] };
        const guarded = await start(name, names);
        const at = ({ port }: Gateway) => ({
          url: `http://${host}:${port}`,
          wsUrl: `ws://${host}:${port}/ws`,
        });
        const client = await witness(guarded);
        const page = await openLoggedIn(origin, host);
        expect(await connectAll(page, at(guarded))).toEqual(NOTHING);
        expect(await askBlindly(page, at(guarded).url)).toBe(6);
        // The events of the fetch, the image, the script and the frame, and three sockets before.
        const refused = () =>
          guarded.logs.filter(({ properties }) => properties.event === "handshake_refused");
        await eventually(
          async () => refused().length,
          (count) => count >= 7,
          "refusals",
        );
        // Where Chromium doesn't say that another site asks, the cookie doesn't count.
        const statuses = host === "localhost" ? [403] : [401, 403];
        for (const { properties } of refused())
          expect(statuses).toContain(Number(properties.status));
        const connected = guarded.logs.filter(
          ({ properties }) => properties.event === "client_connected" && properties.audit !== true,
        );
        expect(connected).toHaveLength(1);
        const headers = bearer(await maker.token({ claims: publishing })) as Record<string, string>;
        await fetch(`${guarded.url}/publish/live.last`, { method: "POST", headers });
        expect(await client.next("data")).toMatchObject({ subject: "live.last" });
        client.raw.destroy();
        await guarded.stop();

        // The cookie is sent: where the page is allowed, it has all of this.
        const open = await start(name, { ...names, allowed_origins: [origin] });
        expect(await connectAll(page, at(open))).toEqual(EVERYTHING);
      });
    }
  }

  test("by a name that was made to point here gets nothing, also with a token", async () => {
    const guarded = await start("bun");
    const rebound = `rebound.example:${guarded.port}`;
    const page = await openLoggedIn(`http://${rebound}/livez`, "rebound.example");
    const found = await connectAll(page, { url: `http://${rebound}`, wsUrl: `ws://${rebound}/ws` });
    // To its browser, the answers are those of the page's own origin.
    expect(found).toEqual({ ...NOTHING, posted: "403" });
    const status = await page.evaluate(
      async (url, token) => {
        const headers = { Authorization: `Bearer ${token}` };
        return (await fetch(url, { headers })).status;
      },
      `http://${rebound}/ws/sse`,
      STATIC_TOKEN,
    );
    expect(status).toBe(403);
  });
});
