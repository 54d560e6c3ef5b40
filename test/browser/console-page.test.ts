/** The console in a real browser, mounted in somebody's app, with the test in the gateway's place. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { describeInBrowser, eventually } from "../support/browser.ts";
import { type ConsoleHost, envelope, hostConsole } from "./console-host.ts";
import { ConsoleView } from "./console-view.ts";

const PREFIX = "/tools/live";

await describeInBrowser("Mounted console", (open) => {
  let host: ConsoleHost;
  beforeEach(() => {
    host = hostConsole(PREFIX);
  });
  afterEach(async () => {
    await host.stop();
  });

  for (const address of [PREFIX, `${PREFIX}/`, `${PREFIX}?subjects=a.>`]) {
    test(`Console at ${address} connects and publishes beside itself`, async () => {
      const view = await ConsoleView.open(open, host.url + address);
      const query = address.includes("?") ? "?subjects=a.>" : "";
      expect(host.handshakes.map(decodeURIComponent)).toEqual([`${PREFIX}/ws${query}`]);
      expect(await view.text("#code")).toContain(
        `"${host.url.replace("http", "ws")}${PREFIX}/ws${query}"`,
      );
      await view.publish("a/b.c d?", "data");
      await view.untilText("#outcome", "Published to a/b.c d?");
      expect(host.posts).toEqual([{ path: `${PREFIX}/publish/a%2Fb.c%20d%3F`, body: "data" }]);
      expect(view.complaints).toEqual([]);
    });
  }

  test("Console asks its server for nothing but itself and the stream", async () => {
    const { page } = await open("about:blank");
    const requests: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(host.url + PREFIX, { waitUntil: "networkidle0" });
    expect(requests.filter((url) => !url.startsWith("data:"))).toEqual([host.url + PREFIX]);
  });

  test("Console stays away after a 44xx close until it is told to connect", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    host.close(4403, "no such luck");
    await view.untilState("closed with 4403 (no such luck)");
    await view.page.click("#reconnect");
    await view.untilState("open");
    expect(host.handshakes).toHaveLength(2);
    expect(await view.page.$eval("#reconnect", (button) => (button as HTMLElement).hidden)).toBe(
      true,
    );
  });

  test("Console comes back by itself after a 45xx close", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    await view.page.evaluate(() => {
      Math.random = () => 1;
    });
    host.close(4503, "overloaded");
    await view.untilState("closed with 4503 (overloaded), again in 0.5 s");
    await view.untilState("open");
    expect(host.handshakes).toHaveLength(2);
  });

  test("Console keeps the newest 200 of 20,000 messages, and answers meanwhile", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    for (let batch = 0; batch < 200; batch++) {
      host.send(...Array.from({ length: 100 }, (_, n) => envelope("load", batch * 100 + n)));
      if (batch % 50 === 0) expect(await view.text("#state")).toBe("open");
    }
    await view.untilText("#total", "20,000");
    const rows = await view.untilRows((rows) => rows[0]?.preview === "19999", "last message");
    expect(rows.map(({ preview }) => Number(preview))).toEqual(
      Array.from({ length: 200 }, (_, n) => 19_999 - n),
    );
    await view.untilText("#rate", "0");
  });

  test("Console counts data alone", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    host.send('{"type":"slow","payload":{}}', envelope("a", 1));
    await view.untilText("#total", "1");
    expect(await view.rows()).toHaveLength(1);
  });

  test("Console holds messages back while it is paused", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    host.send(envelope("before", 1));
    await view.untilRows((rows) => rows.length === 1, "first message");
    await view.page.click("#pause");
    host.send(envelope("during.1", 2), envelope("during.2", 3));
    await view.untilText("#held", "2 newer, held back by the pause");
    expect(await view.rows()).toHaveLength(1);
    await view.page.click("#pause");
    const rows = await view.untilRows((rows) => rows.length === 3, "messages held back");
    expect(rows.map(({ subject }) => subject)).toEqual(["during.2", "during.1", "before"]);
  });

  test("Console leaves an open message where it is", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    host.send(envelope("read.me", { a: [1, { b: null }] }));
    await view.untilRows((rows) => rows.length === 1, "first message");
    expect(await view.openRow("read.me")).toBe(JSON.stringify({ a: [1, { b: null }] }, null, 2));
    host.send(envelope("newer", 1));
    await view.untilText("#held", "1 newer, held back while you read");
    await view.page.click("#list summary");
    await view.untilRows((rows) => rows.length === 2, "message held back");
  });

  test("Console forgets its rows when it is told to, and goes on", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    host.send(envelope("old", 1));
    await view.untilRows((rows) => rows.length === 1, "first message");
    await view.page.click("#clear");
    expect(await view.rows()).toEqual([]);
    host.send(envelope("new", 2));
    const rows = await view.untilRows((rows) => rows.length > 0, "new message");
    expect(rows.map(({ subject }) => subject)).toEqual(["new"]);
  });

  test("Console is worked by keyboard alone", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    const { keyboard } = view.page;
    host.send(envelope("read.me", "x"));
    await view.untilRows((rows) => rows.length === 1, "first message");
    await view.page.focus("#subjects");
    const passed: string[] = [];
    const focused = (): Promise<string> =>
      view.page.evaluate(() => document.activeElement?.textContent ?? "");
    while (!passed.at(-1)?.includes("read.me")) {
      await keyboard.press("Tab");
      passed.push(await focused());
      expect(passed.length).toBeLessThan(9);
    }
    expect(passed.slice(0, 3)).toEqual(["Filter", "Pause", "Clear"]);
    await keyboard.press("Enter");
    await view.untilText("#list", /"x"/);
    host.send(envelope("newer", 1));
    await keyboard.press("Enter");
    await view.untilText("#held", "1 newer, held back while you read");
    await keyboard.press("Tab");
    await view.untilRows((rows) => rows.length === 2, "message held back");
  });

  test("Each field and button of the console has a name", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    const nameless = await view.page.$$eval("input, textarea, button", (controls) =>
      controls
        .map((control) => control as HTMLInputElement)
        .filter(({ labels, textContent }) => !labels?.length && !textContent)
        .map(({ outerHTML }) => outerHTML),
    );
    expect(nameless).toEqual([]);
  });

  for (const width of [320, 700, 1200]) {
    test(`Console fits into ${width} pixels`, async () => {
      const view = await ConsoleView.open(open, host.url + PREFIX);
      await view.page.setViewport({ width, height: 700 });
      host.send(envelope(`long.${"subject.".repeat(40)}end`, "long ".repeat(400)));
      await view.untilRows((rows) => rows.length === 1, "message");
      await view.page.click("#list summary");
      const excess = (): Promise<number> =>
        view.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(await eventually(excess, (pixels) => pixels <= 0, "page without overflow")).toBe(0);
    });
  }
});
