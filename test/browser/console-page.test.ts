/** The console in a real browser, mounted in somebody's app, with the test in the gateway's place. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { describeInBrowser, eventually } from "../support/browser.ts";
import { type ConsoleHost, envelope, hostConsole, notice } from "./console-host.ts";
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
      expect(host.handshakes).toEqual([`${PREFIX}/ws`]);
      const subjects = address.includes("?") ? ["a.>"] : [">"];
      expect(host.subscribes).toEqual([
        { type: "subscribe", id: expect.any(String), subjects, policy: "drop-oldest" },
      ]);
      expect(await view.text("#code")).toContain(
        `"${host.url.replace("http", "ws")}${PREFIX}/ws${query}"`,
      );
      await view.publish("a/b.c d?", "data");
      await view.untilText("#outcome", "Published to a/b.c d?");
      expect(host.posts).toEqual([{ path: `${PREFIX}/publish/a%2Fb.c%20d%3F`, body: "data" }]);
      expect(view.complaints).toEqual([]);
    });
  }

  test("Console asks its server for nothing but itself, the client and the stream", async () => {
    const { page } = await open("about:blank");
    const requests: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(host.url + PREFIX, { waitUntil: "networkidle0" });
    expect(requests.filter((url) => !url.startsWith("data:"))).toEqual([
      host.url + PREFIX,
      `${host.url}${PREFIX}/client.js`,
    ]);
  });

  test("Console stays away after a 44xx close until it is told to connect", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    host.close(4401, "no such luck");
    await view.untilState("closed: Disconnected: 4401 no such luck");
    await view.page.click("#reconnect");
    await view.untilState("open");
    expect(host.handshakes).toHaveLength(2);
    expect(await view.page.$eval("#reconnect", (button) => (button as HTMLElement).hidden)).toBe(
      true,
    );
  });

  test("Console comes back by itself after a 45xx close", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    host.close(4503, "overloaded");
    await view.untilState(/^Disconnected: 4503 overloaded, again in \d\.\d s$/);
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

  test("Console reads several messages of one frame", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    host.send([envelope("a", 1), envelope("b", 2), envelope("c", 3)].join("\n"));
    const rows = await view.untilRows((rows) => rows.length === 3, "three rows");
    expect(rows.map(({ subject }) => subject)).toEqual(["c", "b", "a"]);
  });

  test("Console says that NATS is away, until it is back", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    expect(await view.shown("#upstream")).toBe("");
    host.send(notice({ type: "upstream", state: "disconnected" }));
    await view.untilShown("#upstream", /^NATS is away since \d\d:\d\d:\d\d: no new messages/);
    host.send(notice({ type: "upstream", state: "connected" }));
    await view.untilShown("#upstream", "");
    expect(await view.text("#state")).toBe("open");
  });

  test("Console says that NATS is away when it was before the page came", async () => {
    await host.stop();
    host = hostConsole(PREFIX, { welcome: { upstream: "disconnected" } });
    const view = await ConsoleView.open(open, host.url + PREFIX);
    await view.untilShown("#upstream", /^NATS is away/);
    // It can't connect again, and be told the same.
    await host.stop();
    await view.untilShown("#upstream", "");
  });

  test("Console shows each gap in its place, and how many messages were missed", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    expect(await view.shown("#missed")).toBe("");
    const gap = { type: "gap", from: "run:2", to: "run:8" };
    host.send(
      envelope("before", 1),
      notice({ ...gap, count: 7, reason: "slow" }),
      envelope("between", 2),
      notice({ ...gap, count: 1, reason: "max_deliver" }),
      notice({ ...gap, count: 0, exact: false, reason: "upstream" }),
      notice({ ...gap, count: 1200, exact: false, reason: "expired" }),
      notice({ ...gap, count: 2, reason: "<b>what comes next</b>" }),
    );
    await view.untilText("#missed", "10 or more");
    await view.untilRows((rows) => rows.length === 2, "both messages");
    expect(
      await view.page.$$eval("#list > li", (rows) => rows.map((row) => row.textContent)),
    ).toEqual([
      "2 messages missed: <b>what comes next</b>",
      "Up to 1,200 messages missed: they are no longer kept",
      "Messages may be missing here: the gateway was cut off from NATS, or had not subscribed",
      "1 message missed: they were sent too often without an acknowledgement",
      expect.stringContaining("between"),
      "7 messages missed: this page was too slow",
      expect.stringContaining("before"),
    ]);
    await view.untilText("#total", "2");
    expect(view.complaints).toEqual([]);
  });

  /** Waits until the page has subscribed this often: it is connected anew then, and not still as it was. */
  const subscribed = async (count: number): Promise<void> => {
    await eventually(
      async () => host.subscribes.length,
      (subscribes) => subscribes === count,
      "subscribe",
    );
  };

  test("Console goes on behind the last message when it comes back", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    host.close(4503);
    await subscribed(2);
    const last = envelope("a", 1);
    host.send(last);
    await view.untilText("#total", "1");
    host.close(4503);
    await subscribed(3);
    host.send(
      notice({ type: "disconnect", code: 4510, reason: "x", reconnect: true, cursor: "run:3" }),
    );
    host.close(4510);
    await subscribed(4);
    await view.untilState("open");
    await view.filter("b.>");
    await subscribed(5);
    const { id } = JSON.parse(last) as { id: string };
    expect(host.subscribes.map(({ subjects, from }) => [subjects, from?.after])).toEqual([
      [[">"], undefined],
      [[">"], "run:0"],
      [[">"], id],
      [[">"], id],
      [["b.>"], undefined],
    ]);
  });

  test("Console begins with the latest values again where it has had none", async () => {
    await host.stop();
    host = hostConsole(PREFIX, { subscribed: { start_from: "last_per_subject" } });
    await ConsoleView.open(open, host.url + PREFIX);
    host.close(4503);
    await subscribed(2);
    expect(host.subscribes.map(({ from }) => from)).toEqual([undefined, undefined]);
  });

  test("Console comes back as late as it was told, and not where it was told not to", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    const goodbye = { type: "disconnect", code: 4503, reason: "overloaded" };
    host.send(notice({ ...goodbye, reconnect: true, retry_after_ms: 86_400_000 }));
    host.close(4503);
    await view.untilState(/^Disconnected: 4503 overloaded, again in 86\d{3}\.\d s$/);
    await view.page.click("#reconnect");
    await view.untilState("open");
    host.send(notice({ ...goodbye, reconnect: false }));
    host.close(4503);
    await view.untilState("closed: Disconnected: 4503 overloaded");
  });

  test("Console says why it was refused what it asked for", async () => {
    const view = await ConsoleView.open(open, host.url + PREFIX);
    const error = { code: "forbidden", message: 'nothing of "x" is exposed', retryable: false };
    host.send(notice({ type: "error", id: host.subscribes[0]!.id, error }));
    await view.untilShown("#problem", /nothing of "x" is exposed$/);
    await view.filter("y.>");
    await view.untilShown("#problem", "");
  });

  test("Console acknowledges what came together in frames that the gateway takes, and comes back to its session", async () => {
    await host.stop();
    const delivery = { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false };
    const limits = { max_frame_bytes: 1024, max_subscriptions: 1 };
    const welcome = { delivery_mode: "at-least-once", delivery, limits };
    host = hostConsole(PREFIX, { acknowledges: true, welcome });
    const view = await ConsoleView.open(open, host.url + PREFIX);
    const batch = Array.from({ length: 1000 }, (_, n) => envelope("a", n));
    host.send(batch.join("\n"));
    await view.untilText("#total", "1,000");
    const acks = await eventually(
      async () => host.said.filter(({ type }) => type === "ack") as { upto?: string }[],
      (said) => said.at(-1)?.upto === JSON.parse(batch.at(-1)!).id,
      "acknowledgement of the last message",
    );
    for (const ack of acks) expect(JSON.stringify(ack).length).toBeLessThanOrEqual(1024);
    expect(acks.length).toBeLessThan(50);
    delivery.resumed = true;
    host.close(4503);
    await eventually(
      async () => host.handshakes.length,
      (count) => count === 2,
      "second handshake",
    );
    const { id } = host.subscribes[0]!;
    host.send(notice({ type: "subscribed", id, sub: id, subjects: [">"], from: "run:0" }));
    await view.untilState("open");
    expect(host.handshakes[1]).toBe(`${PREFIX}/ws?session=a-session-of-this-host`);
    expect(host.subscribes).toHaveLength(1);
  });

  test("Console asks for more than 64 patterns in several subscriptions", async () => {
    await host.stop();
    const subjects = Array.from({ length: 130 }, (_, n) => `s.${n}.>`);
    host = hostConsole(PREFIX, { subjects });
    await ConsoleView.open(open, host.url + PREFIX);
    await eventually(
      async () => host.subscribes.length,
      (count) => count === 3,
      "three subscribes",
    );
    expect(host.subscribes.flatMap((one) => one.subjects)).toEqual(subjects);
    expect(new Set(host.subscribes.map(({ id }) => id)).size).toBe(3);
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
