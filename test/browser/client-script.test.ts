/** The client that the gateway serves, in a page of another origin that has no bundler. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "puppeteer-core";
import { useNatsServer } from "../contract/support/nats-server-fixture.ts";
import { describeInBrowser, eventually } from "../support/browser.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(120_000);

/** A page that lists all items, and whose policy allows its own script and the gateway, and nothing else. */
function pageFor({ port }: { readonly port: number }): Response {
  const [url, wsUrl] = [`http://127.0.0.1:${port}`, `ws://127.0.0.1:${port}/ws`];
  const policy = [
    "default-src 'none'",
    `script-src 'nonce-page' ${url}/client.js`,
    `connect-src ${wsUrl}`,
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
    "img-src data:",
  ].join("; ");
  const html = `<!doctype html><title>a page</title><link rel="icon" href="data:,"><pre id="out"></pre>
<script type="module" nonce="page">
import { connect } from "${url}/client.js";
const connection = connect("${wsUrl}", { retry: { firstMs: 50, mostMs: 200 } });
for await (const item of connection.subscribe("page.>", { from: "all" })) {
  document.querySelector("#out").append(item.type === "data" ? item.payload.n + " " : item.type + " ");
}
</script>`;
  const headers = { "Content-Type": "text/html", "Content-Security-Policy": policy };
  return new Response(html, { headers });
}

function shown(page: Page): Promise<string> {
  return page.$eval("#out", ({ textContent }) => textContent ?? "");
}

function numbers(first: number, last: number): string {
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index} `).join("");
}

await describeInBrowser("A page that imports /client.js", (open) => {
  const nats = useNatsServer({ jetstream: true }, async (connection) => {
    const manager = await connection.jetstreamManager();
    await manager.streams.add({ name: "PAGE", subjects: ["page.>"] });
  });
  let gateway: Gateway;
  let site: ReturnType<typeof Bun.serve>;
  beforeAll(() => {
    site = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => pageFor(gateway) });
  });
  afterEach(async () => {
    await gateway.stop();
  });
  afterAll(() => site.stop(true));
  const publish = async (first: number, last: number): Promise<void> => {
    const stream = nats.connection.jetstream();
    for (let n = first; n <= last; n++) await stream.publish("page.x", JSON.stringify({ n }));
  };
  const start = (origin: string, port = 0) =>
    startGateway(TARGETS.bun, {
      config: { nats_url: nats.server.url, streams: ["PAGE"], allowed_origins: [origin] },
      args: ["--port", `${port}`],
    });

  test("under a strict policy, it shows every message once, also after the gateway was killed", async () => {
    await publish(1, 3);
    const own = `http://app.example:${site.port}`;
    gateway = await start(own);
    const { page, complaints } = await open(own);
    await eventually(
      () => shown(page),
      (text) => text === `${numbers(1, 3)}caught_up `,
      "three",
    );
    expect(complaints).toEqual([]);

    gateway.signal("SIGKILL");
    await gateway.exited;
    await publish(4, 50);
    gateway = await start(own, gateway.port);
    await publish(51, 53);
    const text = await eventually(
      () => shown(page),
      (text) => text.includes("53 "),
      "all",
    );
    expect(text.replaceAll("caught_up ", "")).toBe(numbers(1, 53));
  });

  test("gets nothing if its origin isn't allowed, and the log says what allows it", async () => {
    gateway = await start("http://app.example:1");
    const { page, complaints } = await open(`http://other.example:${site.port}`);
    const { properties } = await gateway.waitForLog(
      ({ properties }) => properties.event === "origin_refused",
    );
    expect(properties.setting).toContain(`http://other.example:${site.port}`);
    await eventually(
      async () => complaints.join("\n"),
      (text) => text.includes("CORS"),
      "complaint",
    );
    expect(await shown(page)).toBe("");
  });
});
