/** Pages of other origins in a real browser: which may connect and read, and which may not. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Page } from "puppeteer-core";
import { describeInBrowser, eventually } from "../support/browser.ts";
import { startProcess } from "../support/child-process.ts";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

/** What a page finds out of the gateway, in each way that it has. */
interface Findings {
  readonly webSocket: string;
  readonly eventSource: string;
  readonly posted: string;
  readonly refused: string;
  readonly metrics: string;
  readonly script: string;
}

/** Tries everything, in the page. */
function tryAll(page: Page, { url, wsUrl }: { url: string; wsUrl: string }): Promise<Findings> {
  return page.evaluate(
    async (url, wsUrl) => {
      const fetched = (path: string, init?: RequestInit): Promise<string> =>
        fetch(url + path, init).then(
          async (response) => `${response.status} ${(await response.text()).slice(0, 40)}`,
          () => "unreadable",
        );
      const first = (source: WebSocket | EventSource): Promise<string> =>
        new Promise((resolve) => {
          source.onmessage = ({ data }) => {
            source.close();
            resolve(`message ${JSON.parse(data).subject}`);
          };
          source.onerror = () => {
            source.close();
            resolve("refused");
          };
        });
      const [webSocket, eventSource] = [
        first(new WebSocket(`${wsUrl}?subjects=live.>`)),
        first(new EventSource(`${url}/ws/sse?subjects=live.>`)),
      ];
      const body = JSON.stringify({ n: 1 });
      const headers = { "Content-Type": "application/json", "X-Trace": "1" };
      const publishing = setInterval(() => {
        void fetch(`${url}/publish/live.page`, { method: "POST", body }).catch(() => {});
      }, 50);
      const found = {
        webSocket: await webSocket,
        eventSource: await eventSource,
        posted: await fetched("/publish/live.json", { method: "POST", body, headers }),
        refused: await fetched("/ws/sse?subjects=a..b"),
        metrics: (await fetched("/metrics")).slice(0, 10),
        script: await new Promise<string>((resolve) => {
          const script = document.createElement("script");
          script.src = `${url}/schema.json`;
          script.onload = () => resolve("loaded");
          script.onerror = () => resolve("refused");
          document.head.append(script);
        }),
      };
      clearInterval(publishing);
      return found;
    },
    url,
    wsUrl,
  );
}

const NOTHING: Findings = {
  webSocket: "refused",
  eventSource: "refused",
  posted: "unreadable",
  refused: "unreadable",
  metrics: "unreadable",
  script: "refused",
};

const EVERYTHING: Findings = {
  webSocket: "message live.page",
  eventSource: "message live.page",
  posted: '202 {"subject":"live.json","bytes":7}',
  refused: '400 {"type":"about:blank","title":"Bad Reque',
  metrics: "200 # HELP",
  // It says no origin, so that nothing can allow it.
  script: "refused",
};

await describeInBrowser("Page of another origin", (open) => {
  let site: ReturnType<typeof Bun.serve>;
  let gateway: Gateway | undefined;
  let html = "<!doctype html><title>another app</title>";
  beforeAll(() => {
    site = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response(html, { headers: { "Content-Type": "text/html" } }),
    });
  });
  afterEach(async () => {
    await gateway?.stop();
    gateway = undefined;
  });
  afterAll(() => site.stop(true));

  for (const name of ["bun", "bun-native", "deno", "deno-native", "node"] as const) {
    test(`that is allowed connects, reads and posts, and another one nothing of it; ${name}`, async () => {
      const allowed = `http://app.example:${site.port}`;
      gateway = await startGateway(TARGETS[name], { config: { allowed_origins: [allowed] } });
      const { page } = await open(allowed);
      expect(await tryAll(page, gateway)).toEqual(EVERYTHING);
      const { page: other } = await open(`http://other.example:${site.port}`);
      expect(await tryAll(other, gateway)).toEqual(NOTHING);
    });
  }

  test("on another port of this machine is another origin, until it is allowed", async () => {
    const origin = `http://localhost:${site.port}`;
    gateway = await startGateway(TARGETS.bun);
    const local = { url: gateway.url.replace("127.0.0.1", "localhost"), wsUrl: gateway.wsUrl };
    const { page } = await open(origin);
    expect(await tryAll(page, local)).toEqual(NOTHING);
    const { properties } = await gateway.waitForLog(
      ({ properties }) => properties.event === "origin_refused",
    );
    // What the log says is what helps.
    const [variable, value] = String(properties.setting).split("=");
    await gateway.stop();
    gateway = await startGateway(TARGETS.bun, { env: { [variable!]: value! } });
    expect(await tryAll(page, gateway)).toEqual(EVERYTHING);
  });

  test("by a name that was made to point here sees nothing, though its browser takes it for the gateway's own", async () => {
    gateway = await startGateway(TARGETS.bun);
    const rebound = `http://rebound.example:${gateway.port}`;
    const { page } = await open(`${rebound}/livez`);
    expect(new URL(page.url()).origin).toBe(rebound);
    const found = await tryAll(page, {
      url: rebound,
      wsUrl: `${rebound.replace("http", "ws")}/ws`,
    });
    const refusal = '403 {"type":"about:blank","title":"Forbidden';
    expect(found).toEqual({
      ...NOTHING,
      posted: refusal,
      refused: refusal,
      metrics: refusal.slice(0, 10),
    });
  });

  test("has a link to the console, which opens", async () => {
    gateway = await startGateway(TARGETS.bun);
    html = `<!doctype html><a id="link" href="${gateway.url}">console</a>`;
    const { page } = await open(`http://app.example:${site.port}`);
    await page.click("#link");
    await page.waitForSelector('#state[data-state="open"]');
  });
});

await describeInBrowser("Page behind nginx", (open) => {
  // Debian's, where it is installed; the contract suite sends the same headers without it.
  const nginx = Bun.which("nginx") ?? Bun.which("/usr/sbin/nginx");

  test.skipIf(nginx === null)(
    "with `Host $host` on a public port that isn't the scheme's connects, reads and posts",
    async () => {
      const directory = await mkdtemp(join(tmpdir(), "spillway-nginx-"));
      const config = { allowed_hosts: ["app.example"] };
      const gateway = await startGateway(TARGETS.bun, { config });
      const port = await freePort();
      const temporary = "client_body proxy fastcgi uwsgi scgi"
        .split(" ")
        .map((name) => `${name}_temp_path ${directory}/${name};`);
      await writeFile(
        join(directory, "nginx.conf"),
        `daemon off; pid ${directory}/pid; events {}
        http {
          access_log off; ${temporary.join(" ")}
          server {
            listen 127.0.0.1:${port};
            location / {
              proxy_pass http://127.0.0.1:${gateway.port};
              proxy_http_version 1.1;
              proxy_set_header Upgrade $http_upgrade;
              proxy_set_header Connection "upgrade";
              proxy_set_header Host $host;
            }
          }
        }`,
      );
      const command = [nginx!, "-e", "stderr", "-c", join(directory, "nginx.conf")];
      const proxy = await startProcess("nginx", command, { directory });
      try {
        await until(
          "answer through nginx",
          () =>
            fetch(`http://127.0.0.1:${port}/livez`).then(
              ({ status }) => status,
              () => 0,
            ),
          (status) => status === 200,
        );
        // Browsers say Sec-Fetch-Site to the second alone, which is this machine.
        for (const name of ["app.example", "localhost"]) {
          const host = `${name}:${port}`;
          const { page } = await open(`http://${host}`);
          await page.waitForSelector('#state[data-state="open"]');
          // A page of the same origin, without the console's policy.
          await page.goto(`http://${host}/livez`);
          const found = await tryAll(page, { url: `http://${host}`, wsUrl: `ws://${host}/ws` });
          expect(found).toEqual({ ...EVERYTHING, script: "loaded" });
        }
      } finally {
        await proxy.stop();
        await gateway.stop();
      }
    },
  );
});

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

await describeInBrowser("What the README shows", (open) => {
  let directory: string;
  let gateway: Gateway;
  let snippet: string;
  let example: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "spillway-page-"));
    const readme = await readFile(join(ROOT, "README.md"), "utf8");
    const [, first = ""] = /```js\n([\s\S]*?)```/.exec(readme) ?? [];
    snippet = `<!doctype html><script type="module">console.log = (...words) => { document.title = words.map((word) => JSON.stringify(word)).join(" "); };\n${first}</script>`;
    example = await readFile(join(ROOT, "examples/page.html"), "utf8");
  });
  afterEach(async () => {
    await gateway?.stop();
  });
  afterAll(() => rm(directory, { recursive: true }));

  /** Publishes until the page shows it. */
  async function untilShown(read: () => Promise<string>): Promise<string> {
    const publish = () =>
      fetch(`${gateway.url}/publish/orders.eu`, { method: "POST", body: '{"n":1}' });
    const shown = async (): Promise<string> => {
      expect((await publish()).status).toBe(202);
      return await read();
    };
    return await eventually(shown, (text) => text.includes("orders.eu"), "message in the page");
  }

  const here = (html: string): string => html.replaceAll(":8080", `:${gateway.port}`);

  for (const [what, source, wanted, read] of [
    ["First snippet", () => snippet, '"orders.eu" {"n":1}', (page: Page) => page.title()],
    [
      "examples/page.html",
      () => example,
      'orders.eu: {"n":1}\n',
      (page: Page) =>
        page.$eval("#out", ({ textContent }) => textContent?.split(/(?<=\n)/)[0] ?? ""),
    ],
  ] as const) {
    test(`${what} works from a file with null in allowed_origins, and without it the log says so`, async () => {
      gateway = await startGateway(TARGETS.bun);
      const file = join(directory, "page.html");
      await writeFile(file, here(source()));
      await open(pathToFileURL(file).href);
      const { properties } = await gateway.waitForLog(
        ({ properties }) => properties.event === "origin_refused",
      );
      expect(properties.setting).toBe("SPILLWAY_ALLOWED_ORIGINS=null");
      await gateway.stop();

      gateway = await startGateway(TARGETS.bun, { env: { SPILLWAY_ALLOWED_ORIGINS: "null" } });
      await writeFile(file, here(source()));
      const { page } = await open(pathToFileURL(file).href);
      expect(await untilShown(() => read(page))).toBe(wanted);
    });

    test(`${what} works from a dev server on another port that is in allowed_origins`, async () => {
      let html = "";
      await using server = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch: () => new Response(html, { headers: { "Content-Type": "text/html" } }),
      });
      const origin = `http://localhost:${server.port}`;
      gateway = await startGateway(TARGETS.bun, { env: { SPILLWAY_ALLOWED_ORIGINS: origin } });
      html = here(source());
      const { page } = await open(origin);
      expect(await untilShown(() => read(page))).toBe(wanted);
    });
  }
});
