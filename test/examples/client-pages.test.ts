/** The examples of pages that use the client, in a real browser at a real gateway. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, symlinkSync } from "node:fs";
import { connect, type KV, type NatsConnection } from "nats";
import type { Page } from "puppeteer-core";
import { bundle } from "../../scripts/bundle.ts";
import { installPackages } from "../../scripts/packages.js";
import { untilReady } from "../contract/support/gateway-fixture.ts";
import { describeInBrowser, eventually } from "../support/browser.ts";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { freePort } from "../support/free-port.ts";
import { cleanEnvironment, type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ensureNode } from "../support/node-binary.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(180_000);

await describeInBrowser("The example of", (open) => {
  let server: NatsServer;
  let nats: NatsConnection;
  const programs: RunningProcess[] = [];
  const gateways: Gateway[] = [];
  const sites: ReturnType<typeof Bun.serve>[] = [];
  beforeAll(async () => {
    server = await startNatsServer({ jetstream: true });
    nats = await connect({ servers: server.url });
  });
  afterAll(async () => {
    for (const program of programs) await program.stop();
    for (const site of sites) await site.stop(true);
    for (const gateway of gateways) expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    await nats.close();
    await server.stop();
  });

  /** Starts a gateway with the example's configuration, at a port, for a page at an address. */
  async function startFor(folder: string, site: string, port: number): Promise<Gateway> {
    const config = readFileSync(`${ROOT}examples/${folder}/spillway.json`, "utf8")
      .replaceAll("nats://localhost:4222", server.url)
      .replaceAll("http://localhost:3001", site);
    const gateway = await startGateway(TARGETS.bun, { config, args: ["--port", `${port}`] });
    gateways.push(gateway);
    await untilReady(gateway);
    return gateway;
  }

  /** Starts the gateway and the site of an example. */
  async function start(folder: string): Promise<{ site: string; gateway: Gateway }> {
    const [port, own] = [await freePort(), await freePort()];
    const site = `http://localhost:${port}`;
    const gateway = await startFor(folder, site, own);
    const program = await startProcess(
      "site.js",
      [ensureNode("node"), "examples/site.js", `examples/${folder}`],
      {
        cwd: ROOT,
        env: { ...cleanEnvironment(), PORT: `${port}`, GATEWAY: new URL(gateway.url).host },
      },
    );
    programs.push(program);
    await program.lines.find(({ text }) => text.startsWith("Listening"), "Listening");
    return { site, gateway };
  }

  /** Starts the gateway of an example that is bundled, and serves its page. */
  async function startBundled(folder: string, file: string): Promise<string> {
    const [port, own] = [await freePort(), await freePort()];
    const page = readFileSync(`${ROOT}examples/${folder}/index.html`, "utf8");
    const script = bundle({ file: `examples/${folder}/${file}` });
    const gateway = await startFor(folder, `http://localhost:${port}`, own);
    const site = Bun.serve({
      port,
      hostname: "localhost",
      fetch({ url }) {
        const isPage = new URL(url).pathname === "/";
        const body = isPage ? page : script.replace("ws://localhost:8080/ws", gateway.wsUrl);
        return new Response(body, {
          headers: { "Content-Type": isPage ? "text/html" : "text/javascript" },
        });
      },
    });
    sites.push(site);
    return `http://localhost:${port}`;
  }

  /** Begins the stream of prices anew. */
  async function prices(): Promise<void> {
    const { streams } = await nats.jetstreamManager();
    await streams.add({ name: "PRICES", subjects: ["prices.*"] });
    await streams.purge("PRICES");
    await price("tea", 2);
    await price("milk", 1);
    await price("tea", 3);
  }

  const price = (product: string, value: number) =>
    nats.jetstream().publish(`prices.${product}`, JSON.stringify({ value }));

  test("a plain page shows messages, and those after its gateway was started again", async () => {
    const { site, gateway } = await start("plain-page");
    const { page, complaints } = await open(site);
    await shows(page, "#state", "open");
    // The page is open before its subscription is in effect.
    const publishOne = () => publish(gateway, "orders.eu", '{"n":1}');
    await contains(page, "#orders", 'orders.eu: {"n":1}', publishOne);
    expect(withoutIcon(complaints)).toEqual([]);
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    await startFor("plain-page", site, gateway.port);
    // Without a stream, it is told what it missed once it is subscribed again.
    await contains(page, "#orders", "Messages are missing");
    await publish(gateway, "orders.eu", '{"n":2}');
    await contains(page, "#orders", 'orders.eu: {"n":2}');
  });

  test("settings shows the values of a bucket, changes them, and forgets deleted ones", async () => {
    const bucket: KV = await nats.jetstream().views.kv("settings");
    await bucket.put("color", "red");
    await bucket.put("size", "7");
    await bucket.put("color", "blue");
    const { site } = await start("kv-settings");
    const [{ page }, { page: other }] = [await open(site), await open(site)];
    await shows(page, "#settings", "colorbluesize7");
    await page.type("#key", "shape");
    await page.type("#value", "round");
    await page.click("button");
    for (const one of [page, other]) await shows(one, "#settings", "colorblueshaperoundsize7");
    expect((await bucket.get("shape"))?.string()).toContain("round");
    await bucket.delete("color");
    for (const one of [page, other]) await shows(one, "#settings", "shaperoundsize7");
    await page.evaluate(() => Object.assign(document.querySelector("#key")!, { value: "a b" }));
    await page.click("button");
    await contains(page, "#problem", "subject");
  });

  test("a dashboard in React shows the latest prices, statistics and the connection", async () => {
    await prices();
    const { page, complaints } = await open(await startBundled("react-dashboard", "main.jsx"));
    await shows(page, "ul", "prices.milk: 1prices.tea: 3");
    await shows(page, "#state", "open");
    await shows(page, "#statistics", "0 prices, up to 0");
    await price("jam", 7);
    await shows(page, "ul", "prices.jam: 7prices.milk: 1prices.tea: 3");
    await shows(page, "#statistics", "1 prices, up to 7");
    expect(withoutIcon(complaints)).toEqual([]);
  });

  test.each([
    ["a store in Vue", "vue-store", "main.js"],
    ["a query", "tanstack-query", "main.jsx"],
  ])(
    "%s shows the latest prices, and ends its subscription with its component",
    async (_, folder, file) => {
      await prices();
      const site = await startBundled(folder, file);
      const { page, complaints } = await open(site);
      await shows(page, "ul", "prices.milk: 1prices.tea: 3");
      await price("jam", 7);
      await shows(page, "ul", "prices.jam: 7prices.milk: 1prices.tea: 3");
      const requests = await requestsOf(page);
      const types = () => requests.map(({ type }) => type);
      await page.click("button");
      await eventually(
        async () => types(),
        ({ length }) => length > 0,
        "request",
      );
      expect(types()).toEqual(["unsubscribe"]);
      await price("milk", 2);
      await page.click("button");
      await shows(page, "ul", "prices.jam: 7prices.milk: 2prices.tea: 3");
      expect(types()).toEqual(["unsubscribe", "subscribe"]);
      expect(withoutIcon(complaints)).toEqual([]);
    },
  );

  test("a site with SvelteKit has the prices in its HTML, and its page continues after them", async () => {
    await prices();
    const { site, program } = await startSvelteKit();
    const html = await (await fetch(site)).text();
    expect(html.replace(/<[^>]*>/g, "")).toMatch(/prices\.milk: 1\s*prices\.tea: 3/);
    const { page, complaints } = await open(site);
    await shows(page, "#state", "open");
    const requests = await requestsOf(page);
    await page.reload();
    await shows(page, "#state", "open");
    await price("jam", 7);
    await shows(page, "ul", "prices.jam: 7prices.milk: 1prices.tea: 3");
    const { seq } = await price("tea", 4);
    await shows(page, "ul", "prices.jam: 7prices.milk: 1prices.tea: 4");
    expect(requests).toEqual([
      expect.objectContaining({
        type: "subscribe",
        from: { after: expect.stringMatching(new RegExp(`^PRICES:.*:${seq - 2}$`)) },
      }),
    ]);
    // The page is told of a gap, and has the server load the prices again.
    await (await nats.jetstreamManager()).streams.delete("PRICES");
    await prices();
    await shows(page, "ul", "prices.milk: 1prices.tea: 3");
    expect(complaints).toEqual([]);
    expect(await program.stop()).toEqual({ code: 0, signal: null });
  });

  /** Builds the example with SvelteKit, and starts its gateway and its server. */
  async function startSvelteKit(): Promise<{ site: string; program: RunningProcess }> {
    const folder = "examples/sveltekit";
    const cwd = `${ROOT}${folder}`;
    installPackages(folder);
    // The lockfile has no place for it, as a change of its package.json would make every lockfile stale.
    rmSync(`${cwd}/node_modules/spillway`, { recursive: true, force: true });
    symlinkSync(ROOT, `${cwd}/node_modules/spillway`);
    const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
      startProcess(`node ${args.join(" ")}`, [ensureNode("node"), ...args], {
        cwd,
        env: { ...cleanEnvironment(), ...env },
      });
    const building = await run(["node_modules/vite/bin/vite.js", "build"]);
    expect(await building.exited).toEqual({ code: 0, signal: null });
    const [port, own] = [await freePort(), await freePort()];
    const site = `http://localhost:${port}`;
    const gateway = await startFor("sveltekit", site, own);
    const env = { HOST: "localhost", PORT: `${port}`, GATEWAY: gateway.wsUrl };
    const program = await run(["build"], env);
    programs.push(program);
    await program.lines.find(({ text }) => text.startsWith("Listening"), "Listening");
    return { site, program };
  }
});

/** The complaints of a page, except that its site has no icon. */
const withoutIcon = (complaints: readonly string[]) =>
  complaints.filter((text) => !text.includes("404"));

/** Returns what the page asks its gateway for from now on. */
async function requestsOf(page: Page): Promise<readonly { readonly type: string }[]> {
  const requests: { type: string }[] = [];
  const session = await page.createCDPSession();
  session.on("Network.webSocketFrameSent", ({ response }) => {
    requests.push(JSON.parse(response.payloadData));
  });
  await session.send("Network.enable");
  return requests;
}

const textOf = (page: Page, selector: string): Promise<string> =>
  page.evaluate((one) => document.querySelector(one)?.textContent ?? "", selector);

async function shows(page: Page, selector: string, text: string): Promise<void> {
  await eventually(
    () => textOf(page, selector),
    (now) => now === text,
    `"${text}"`,
  );
}

/** @param before done before each look. */
async function contains(
  page: Page,
  selector: string,
  text: string,
  before: () => Promise<void> = async () => {},
): Promise<void> {
  await eventually(
    async () => {
      await before();
      return await textOf(page, selector);
    },
    (now) => now.includes(text),
    `text with "${text}"`,
  );
}

async function publish(gateway: Gateway, subject: string, body: string): Promise<void> {
  await fetch(`${gateway.url}/publish/${subject}`, { method: "POST", body });
}
