/** The client in real tabs of one origin, under a strict policy, with tabs that are killed, frozen, left and offline. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "puppeteer-core";
import { bundle } from "../../scripts/bundle.ts";
import { describeInBrowser, eventually, type WatchedPage } from "../support/browser.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(180_000);

const SCRIPT = `
import { connect, serverSentEvents, shared, webSocketOrEvents } from "spillway/client";

const listeners = new Set();
for (const target of [globalThis, document]) {
  const { addEventListener, removeEventListener } = target;
  target.addEventListener = (name, run, options) => {
    listeners.add(run);
    options?.signal?.addEventListener("abort", () => listeners.delete(run));
    addEventListener.call(target, name, run, options);
  };
  target.removeEventListener = (name, run, options) => {
    listeners.delete(run);
    removeEventListener.call(target, name, run, options);
  };
}
const sockets = [];
class Counted extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    sockets.push(this);
  }
}
const seen = [];
let connection;
let persisted = false;
let subscription;
globalThis.onpageshow = (event) => { persisted = event.persisted; };
Object.assign(globalThis, {
  async start(url, kind) {
    const transports = { events: serverSentEvents(), fallback: webSocketOrEvents() };
    const options = { platform: { WebSocket: Counted }, transport: transports[kind] };
    connection = connect(url, kind === "shared" ? shared(options) : options);
    subscription = connection.subscribe("live.>", { from: "new" });
    void (async () => {
      for await (const item of subscription) {
        if (item.type !== "caught_up") seen.push(item.type === "data" ? item.payload : item.type);
      }
    })().catch((error) => seen.push(String(error)));
    await subscription.ready;
  },
  close: () => connection.close(),
  facts: () => ({
    seen,
    persisted,
    state: connection?.state.type,
    sockets: sockets.filter(({ readyState }) => readyState < 2).length,
    listeners: listeners.size,
  }),
});
`;

interface Facts {
  readonly seen: readonly unknown[];
  readonly persisted: boolean;
  readonly state: string;
  readonly sockets: number;
  readonly listeners: number;
}

const factsOf = (page: Page) => page.evaluate("facts()") as Promise<Facts>;

function numbers(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

await describeInBrowser("The client", (open) => {
  let site: ReturnType<typeof Bun.serve>;
  let gateway: Gateway;
  let count = 0;
  beforeAll(async () => {
    const script = bundle({ code: SCRIPT });
    site = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request) {
        const isScript = request.url.endsWith("/page.js");
        const html = `<!doctype html><title>page</title><link rel="icon" href="data:,">`;
        return new Response(
          isScript ? script : `${html}<script type="module" src="/page.js"></script>`,
          {
            headers: {
              "Content-Type": isScript ? "text/javascript" : "text/html",
              "Content-Security-Policy": `default-src 'self'; img-src data:; connect-src ${gateway.url} ${gateway.url.replace("http", "ws")}`,
            },
          },
        );
      },
    });
    const config = { subjects: ["live.>"], allowed_origins: [site.url.origin] };
    gateway = await startGateway(TARGETS.bun, { config });
  });
  afterEach(() => {
    count = 0;
  });
  afterAll(async () => {
    await site.stop(true);
    await gateway.stop();
  });

  const openTab = async (kind: string, beside?: Page): Promise<WatchedPage> => {
    if (beside === undefined) {
      const watched = await open(site.url.href);
      await watched.page.evaluate(`start(${JSON.stringify(gateway.wsUrl)}, "${kind}")`);
      return watched;
    }
    const page = await beside.browserContext().newPage();
    await page.goto(site.url.href);
    await page.evaluate(`start(${JSON.stringify(gateway.wsUrl)}, "${kind}")`);
    return { page, complaints: [] };
  };
  const publish = async (most: number): Promise<void> => {
    while (count < most) {
      const body = `${++count}`;
      const { status } = await fetch(`${gateway.url}/publish/live.x`, { method: "POST", body });
      expect(status).toBe(202);
    }
  };
  const sees = async (page: Page, last: number): Promise<void> => {
    const { seen } = await eventually(
      () => factsOf(page),
      ({ seen }) => seen.length >= last,
      `${last} messages`,
    );
    expect(seen).toEqual(numbers(last));
  };
  const leaderOf = async (pages: readonly Page[]): Promise<Page> => {
    const facts = await Promise.all(pages.map(factsOf));
    expect(facts.map(({ sockets }) => sockets).sort()).toEqual([...pages.slice(1).map(() => 0), 1]);
    return pages[facts.findIndex(({ sockets }) => sockets === 1)]!;
  };

  test("has one socket for seven tabs, and another tab leads without a loss when the leading one is killed", async () => {
    const { page: first, complaints } = await openTab("shared");
    const pages = [first];
    for (let n = 1; n < 7; n++) pages.push((await openTab("shared", first)).page);
    await publish(5);
    for (const page of pages) await sees(page, 5);
    const leader = await leaderOf(pages);
    const session = await leader.createCDPSession();
    session.send("Page.crash").catch(() => {});
    await publish(10);
    const others = pages.filter((page) => page !== leader);
    await publish(20);
    for (const page of others) await sees(page, 20);
    await leaderOf(others);
    // A tab that is closed in order is replaced, too.
    const second = await leaderOf(others);
    await second.close();
    await publish(30);
    const rest = others.filter((page) => page !== second);
    for (const page of rest) await sees(page, 30);
    await leaderOf(rest);
    expect(complaints).toEqual([]);
  });

  test("goes on in another tab while the leading one is frozen, and in that one when it is resumed", async () => {
    const { page: leader } = await openTab("shared");
    const { page: other } = await openTab("shared", leader);
    await publish(3);
    for (const page of [leader, other]) await sees(page, 3);
    expect(await leaderOf([leader, other])).toBe(leader);
    const session = await leader.createCDPSession();
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await publish(6);
    await sees(other, 6);
    await session.send("Page.setWebLifecycleState", { state: "active" });
    // A hidden page connects when somebody sees it.
    await session.send("Emulation.setFocusEmulationEnabled", { enabled: true });
    await publish(9);
    for (const page of [leader, other]) await sees(page, 9);
    expect(await leaderOf([leader, other])).toBe(other);
  });

  // The headless browser has no back/forward cache, so that a page is told by hand that it is left.
  test.each(["shared", "websocket", "events"])(
    "holds nothing that keeps a page out of the back/forward cache, and continues when it comes back, over %s",
    async (kind) => {
      const { page } = await openTab(kind);
      await publish(2);
      await sees(page, 2);
      await page.evaluate(
        "dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))",
      );
      const held = `navigator.locks.query().then(({ held, pending }) => held.length + pending.length)`;
      const left = async () => [await page.evaluate(held), (await factsOf(page)).sockets];
      await eventually(
        left,
        ([locks, sockets]) => locks === 0 && sockets === 0,
        "page without locks",
      );
      await publish(4);
      await page.evaluate(
        "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))",
      );
      await publish(6);
      await sees(page, 6);
    },
  );

  test.each(["shared", "websocket", "events"])(
    "continues after a time offline, over %s",
    async (kind) => {
      const { page } = await openTab(kind);
      await publish(2);
      await sees(page, 2);
      await page.setOfflineMode(true);
      await publish(4);
      await page.setOfflineMode(false);
      await publish(6);
      await sees(page, 6);
    },
  );

  test.each(["shared", "websocket", "events", "fallback"])(
    "works under a strict policy, and leaves no listener and no socket behind, over %s",
    async (kind) => {
      const { page, complaints } = await openTab(kind);
      await publish(2);
      await sees(page, 2);
      const { listeners } = await factsOf(page);
      expect(listeners).toBeGreaterThan(0);
      await page.evaluate("close()");
      await eventually(
        () => factsOf(page),
        ({ sockets }) => sockets === 0,
        "closed socket",
      );
      expect(await factsOf(page)).toMatchObject({ listeners: 0, state: "closed" });
      expect(complaints).toEqual([]);
    },
  );
});
