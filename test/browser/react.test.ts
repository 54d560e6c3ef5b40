/** The hooks of `spillway/react` in a real browser, with the real React, at a real gateway with a stream. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "nats";
import type { Page } from "puppeteer-core";
import { bundle } from "../../scripts/bundle.ts";
import { installPackages } from "../../scripts/packages.js";
import { describeInBrowser, eventually, type OpenPage } from "../support/browser.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(180_000);

const directory = mkdtempSync(join(tmpdir(), "spillway-react-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** A React that the hooks support. */
interface Version {
  readonly name: string;
  /** The folder that it is in, if it isn't that of the tests. */
  readonly folder?: string;
  readonly hasActivity: boolean;
}

const VERSIONS: readonly Version[] = [
  { name: "React 19", hasActivity: true },
  { name: "React 18", folder: "test/client/react-18", hasActivity: false },
];
installPackages("test/client/react-18");

/** A program or page of the tests, with a version of React. */
function bundled(file: string, { folder }: Version, format: "esm" | "cjs" = "esm"): string {
  const options = { file: `test/client/react/${file}`, format };
  return bundle(folder === undefined ? options : { ...options, react: folder });
}

/** The page that the program of a server has made. */
async function serverSide(
  version: Version,
): Promise<{ markup: string; asked: readonly string[]; version: string }> {
  const file = join(directory, `${version.name}.cjs`);
  writeFileSync(file, bundled("server.tsx", version, "cjs"));
  return await import(file);
}

test.each(VERSIONS)(
  "On a server, with $name, a component renders its first value, and subscribes to nothing",
  async (react) => {
    const { markup, asked, version } = await serverSide(react);
    expect(`React ${version}`).toStartWith(`${react.name}.`);
    expect(markup).toContain("<p>connecting fine</p>");
    expect(asked).toEqual([]);
  },
);

await describeInBrowser("With", (open) => {
  describe.each(VERSIONS)("$name, a component with useStream, under StrictMode,", (version) => {
    testsWith(version, open);
  });
});

function testsWith(version: Version, open: OpenPage): void {
  let nats: NatsServer;
  let connection: NatsConnection;
  const gateways: Gateway[] = [];
  let site: ReturnType<typeof Bun.serve>;
  beforeAll(async () => {
    nats = await startNatsServer({ jetstream: true });
    connection = await connect({ servers: nats.url });
    const { streams } = await connection.jetstreamManager();
    await streams.add({ name: "ORDERS", subjects: ["orders.*"] });
    const { markup } = await serverSide(version);
    const script = bundled("page.tsx", version);
    site = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch({ url }) {
        const isPage = new URL(url).pathname === "/";
        const page = `<!doctype html><link rel="icon" href="data:,"><div id="root">${markup}</div><script type="module" src="/page.js"></script>`;
        const type = isPage ? "text/html" : "text/javascript";
        return new Response(isPage ? page : script, { headers: { "Content-Type": type } });
      },
    });
    const config = {
      nats_url: nats.url,
      streams: ["ORDERS:orders.*"],
      allowed_origins: [site.url.origin],
    };
    for (let count = 0; count < 2; count++) {
      gateways.push(await startGateway(TARGETS.bun, { config }));
    }
  });
  afterAll(async () => {
    for (const gateway of gateways) expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    await site.stop(true);
    await connection.close();
    await nats.stop();
  });

  const openPage = () => open(`${site.url.origin}/?gateway=${gateways[0]!.wsUrl}`);

  /** Begins the stream anew, with some orders. */
  async function orders(...payloads: readonly string[]): Promise<void> {
    await (await connection.jetstreamManager()).streams.purge("ORDERS");
    for (const payload of payloads) await publish("a", payload);
  }

  const publish = (kind: string, payload: string) =>
    connection.jetstream().publish(`orders.${kind}`, payload);

  test("takes over the server's markup, and shows each message once, through one subscription", async () => {
    await orders("1", "2");
    const { page, complaints } = await openPage();
    await shows(page, "open fine 1 2");
    await publish("a", "3");
    await shows(page, "open fine 1 2 3");
    expect(await subscriptions(page)).toBe(1);
    expect(complaints).toEqual([]);
  });

  test("calls the fold of its latest render, without another subscription", async () => {
    await orders("1");
    const { page } = await openPage();
    await shows(page, "open fine 1");
    const { asked } = await counts(page);
    await show(page, { label: "#" });
    await publish("a", "2");
    await shows(page, "open fine 1 #2");
    expect((await counts(page)).asked).toBe(asked);
  });

  test("subscribes anew to other subjects and over another connection, from its first value", async () => {
    await orders("1");
    await publish("b", "7");
    const { page } = await openPage();
    await shows(page, "open fine 1");
    await show(page, { subject: "orders.b" });
    await shows(page, "open fine 7");
    expect(await subscriptions(page)).toBe(1);
    await show(page, { url: gateways[1]!.wsUrl });
    await shows(page, "open fine 7");
    await publish("b", "8");
    await shows(page, "open fine 7 8");
    expect(await subscriptions(page)).toBe(1);
  });

  test("leaves no subscription when it is unmounted, and starts anew when mounted again", async () => {
    await orders("1");
    const { page } = await openPage();
    await shows(page, "open fine 1");
    await show(page, { isMounted: false });
    await shows(page, "unmounted");
    expect(await subscriptions(page)).toBe(0);
    await show(page, { isMounted: true });
    await shows(page, "open fine 1");
    expect(await subscriptions(page)).toBe(1);
  });

  // React 18 can't hide a component without ending it.
  test.skipIf(!version.hasActivity)(
    "has no subscription while it is hidden, and then continues with nothing lost or twice",
    async () => {
      await orders("1", "2");
      const { page } = await openPage();
      await shows(page, "open fine 1 2");
      await show(page, { isHidden: true });
      await eventually(
        () => subscriptions(page),
        (count) => count === 0,
        "end of the subscription",
      );
      await publish("a", "3");
      await show(page, { isHidden: false });
      await shows(page, "open fine 1 2 3");
      await publish("a", "4");
      await shows(page, "open fine 1 2 3 4");
    },
  );

  test("shows that its subjects are refused or its connection is closed, with its last value", async () => {
    await orders("1");
    const { page } = await openPage();
    await shows(page, "open fine 1");
    await show(page, { subject: "secrets.a" });
    await shows(page, "open forbidden");
    await show(page, { subject: "orders.a" });
    await shows(page, "open fine 1");
    await page.evaluate("close()");
    await shows(page, "closed closed 1");
    await show(page, { subject: "orders.b" });
    await shows(page, "closed closed");
  });

  test("throws what its fold throws, for an error boundary", async () => {
    await orders("1", '"poison"');
    const { page } = await openPage();
    await shows(page, "thrown Error: can't fold poison");
    expect(await subscriptions(page)).toBe(0);
  });
}

const show = (page: Page, change: object) => page.evaluate(`show(${JSON.stringify(change)})`);

const counts = (page: Page) =>
  page.evaluate("counts()") as Promise<{ asked: number; living: number }>;

const subscriptions = async (page: Page) => (await counts(page)).living;

async function shows(page: Page, text: string): Promise<void> {
  await eventually(
    () => page.evaluate(() => document.querySelector("p")?.textContent ?? ""),
    (now) => now === text,
    `"${text}"`,
  );
}
