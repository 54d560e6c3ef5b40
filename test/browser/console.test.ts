/** The console of the real command, in a real browser. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { connect } from "nats";
import { untilMetric } from "../contract/support/metrics.ts";
import { describeInBrowser } from "../support/browser.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { TARGETS } from "../support/runtimes.ts";
import { ConsoleView, type Row } from "./console-view.ts";

const ATTACK = "<img/src=x/onerror=document.title='broken'>";

async function post(gateway: Gateway, subject: string, body: string | Uint8Array<ArrayBuffer>) {
  const url = `${gateway.url}/publish/${encodeURIComponent(subject)}`;
  const response = await fetch(url, { method: "POST", body });
  expect(response.status).toBe(202);
}

const newest =
  (subject: string) =>
  (rows: readonly Row[]): boolean =>
    rows[0]?.subject === subject;

await describeInBrowser("Embedded gateway", (open) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway(TARGETS.bun);
  });
  afterAll(async () => {
    await gateway.stop();
  });

  test("Console shows what is posted, the newest first, with its encoding", async () => {
    const view = await ConsoleView.open(open, gateway.url);
    await post(gateway, "orders.eu", '{"id":9007199254740993,"total":1.50}');
    await post(gateway, "orders.note", "two boxes");
    await post(gateway, "camera.1", Uint8Array.of(0xff, 0xd8, 0xff));
    await post(gateway, "heartbeat", "");
    const rows = await view.untilRows(newest("heartbeat"), "heartbeat as the newest row");
    expect(rows).toEqual([
      { subject: "heartbeat", mark: "empty", preview: "" },
      { subject: "camera.1", mark: "base64", preview: "/9j/" },
      { subject: "orders.note", mark: "text", preview: "two boxes" },
      { subject: "orders.eu", mark: "json", preview: '{"id":9007199254740993,"total":1.50}' },
    ]);
    expect(await view.openRow("orders.eu")).toBe(
      '{\n  "id": 9007199254740993,\n  "total": 1.50\n}',
    );
    await view.untilText("#total", "4");
    expect(view.complaints).toEqual([]);
  });

  test("Console publishes through its form", async () => {
    const view = await ConsoleView.open(open, gateway.url);
    expect(await view.value("#subject")).toBe("demo.hello");
    await view.publish("greetings.new", '{"hi":"there"}');
    const rows = await view.untilRows(newest("greetings.new"), "row of what was published");
    expect(rows[0]?.preview).toBe('{"hi":"there"}');
    expect(await view.text("#outcome")).toBe("Published to greetings.new");
  });

  test("Console says why a message was refused", async () => {
    const view = await ConsoleView.open(open, gateway.url);
    await view.publish("greetings.*", "x");
    await view.untilText("#outcome", /^Not published: .*must not contain a wildcard/);
  });

  test("Console shows a client that is behind, in seconds and bytes, until it has read", async () => {
    const view = await ConsoleView.open(open, gateway.url);
    await view.page.click("#lags-shown");
    await view.untilShown("#lags-note", "No client is behind.");
    const client = await openRaw(gateway.wsUrl);
    client.pause();
    await post(gateway, "orders.eu", JSON.stringify("x".repeat(5000)));
    await view.untilShown("#lags", /^client \d+: [1-9]\d*\.\d s, [5-9] kB$/);
    client.resume();
    await view.untilShown("#lags-note", "No client is behind.");
    client.destroy();
    await view.page.click("#lags-shown");
    expect(await view.shown("#lags-note")).toBe("");
    expect(view.complaints).toEqual([]);
  });

  test("Console sends a demo stream until it is stopped", async () => {
    const view = await ConsoleView.open(open, gateway.url);
    await view.page.click("#demo");
    await view.untilRows((rows) => rows.length >= 5, "five messages of the demo stream");
    await view.page.click("#demo");
    expect(await view.text("#demo")).toBe("Send a demo stream");
    expect(new Set((await view.rows()).map(({ subject }) => subject.split(".")[0]))).toEqual(
      new Set(["demo"]),
    );
  });

  test("Console shows HTML in subjects and payloads as the text that it is", async () => {
    const view = await ConsoleView.open(open, gateway.url);
    await post(gateway, ATTACK, JSON.stringify({ html: ATTACK }));
    await post(gateway, "attack.text", ATTACK);
    const rows = await view.untilRows((rows) => rows.length === 2, "both rows");
    expect(rows.map(({ preview }) => preview)).toEqual([ATTACK, `{"html":"${ATTACK}"}`]);
    expect(rows[1]?.subject).toBe(ATTACK);
    expect(await view.openRow(ATTACK)).toContain(ATTACK);
    expect(await view.page.$$eval("#list img, #list script", (found) => found.length)).toBe(0);
    expect(await view.page.title()).toBe("Spillway");
    expect(view.complaints).toEqual([]);
  });

  test("Console's policy stops markup even if a script wrote it", async () => {
    const view = await ConsoleView.open(open, gateway.url);
    const outcome = await view.page.evaluate((html) => {
      try {
        document.body.innerHTML = html;
        return "written";
      } catch (error) {
        return (error as Error).name;
      }
    }, ATTACK);
    expect(outcome).toBe("TypeError");
  });

  test("Console shows only what its filter lets through, and keeps it in its address", async () => {
    const view = await ConsoleView.open(open, gateway.url);
    await post(gateway, "kept.1", "1");
    await view.untilRows(newest("kept.1"), "row without a filter");
    await view.filter("kept.>, other.*");
    await view.untilRows((rows) => rows.length === 0, "empty list");
    await view.untilState("open");
    expect(new URL(view.page.url()).searchParams.get("subjects")).toBe("kept.>, other.*");
    await post(gateway, "dropped.2", "2");
    await post(gateway, "other.3", "3");
    await post(gateway, "kept.4.5", "4");
    const rows = await view.untilRows(newest("kept.4.5"), "last message");
    expect(rows.map(({ subject }) => subject)).toEqual(["kept.4.5", "other.3"]);

    await view.page.reload();
    await view.untilState("open");
    expect(await view.value("#subjects")).toBe("kept.>, other.*");
    await post(gateway, "dropped.6", "6");
    await post(gateway, "kept.7", "7");
    expect(await view.untilRows(newest("kept.7"), "kept message")).toHaveLength(1);
  });

  test("Console does not connect with a filter that is no list of subjects", async () => {
    const view = await ConsoleView.open(open, gateway.url);
    await view.filter("a..b");
    expect(await view.page.$eval("#subjects", (field) => field.matches(":user-invalid"))).toBe(
      true,
    );
    expect(await view.text("#state")).toBe("open");
  });

  test("Console connects again when the server is back on the same port", async () => {
    const port = String(gateway.port);
    const view = await ConsoleView.open(open, gateway.url);
    await gateway.stop();
    await view.untilState(/(100[16]|Cannot connect).* again in/);
    gateway = await startGateway(TARGETS.bun, { args: ["--port", port] });
    await view.untilState("open");
    // What its predecessor had, the new one can't know.
    await view.untilText("#missed", "some");
    await view.untilText("#list", /the gateway or the stream began anew/);
    await post(gateway, "after.restart", "1");
    await view.untilRows(newest("after.restart"), "message of the new server");
  });
});

await describeInBrowser("Configured gateway", (open) => {
  let gateway: Gateway | undefined;
  afterEach(async () => {
    await gateway?.stop();
    gateway = undefined;
  });

  test("Console without POST /publish says that messages come from NATS", async () => {
    const config = { publish: false, subjects: ["orders.>"] };
    gateway = await startGateway(TARGETS.bun, { config });
    const view = await ConsoleView.open(open, gateway.url);
    expect(await view.page.$("#publish")).toBeNull();
    expect(await view.text("aside")).toContain("nats pub orders.hello");
    expect(view.complaints).toEqual([]);
  });

  test("Console of a gateway in at-least-once acknowledges what it shows, and says how", async () => {
    const config = { delivery_mode: "at-least-once", max_inflight_messages: 1 };
    gateway = await startGateway(TARGETS.bun, { config });
    const view = await ConsoleView.open(open, gateway.url);
    expect(await view.text("#code")).toContain('{ type: "ack", id: JSON.parse(data).id }');
    await view.page.waitForSelector('#state[data-state="open"]');
    for (const n of [1, 2, 3]) await post(gateway, "acked.x", `{"n":${n}}`);
    await view.page.waitForFunction(() => document.querySelector("#total")?.textContent === "3");
    await untilMetric(gateway, "websocket_messages_in_flight", (count) => count === 0);
    // With another filter, nothing is left of the session.
    await view.filter("acked.>");
    await view.untilState("open");
    await untilMetric(gateway, "websocket_clients_active", (count) => count === 1);
    await untilMetric(gateway, "websocket_sessions_parked", (count) => count === 0);
    expect(view.complaints).toEqual([]);
  });

  test("Console says that NATS is away, and that messages may be missing once it is back", async () => {
    const nats = await startNatsServer();
    try {
      const config = { nats_url: nats.url, subjects: ["orders.>"] };
      gateway = await startGateway(TARGETS.bun, { config });
      const view = await ConsoleView.open(open, gateway.url);
      await view.untilShown("#upstream", "");
      await nats.stop();
      await view.untilShown("#upstream", /^NATS is away since /);
      expect(await view.text("#state")).toBe("open");
      const { page: late } = await open(gateway.url);
      await late.waitForSelector("#upstream:not([hidden])");

      await nats.restart();
      await view.untilShown("#upstream", "");
      await late.waitForSelector('#state[data-state="open"]');
      await view.untilText("#missed", "some");
      await view.untilText(
        "#list",
        /^Messages may be missing here: the gateway was cut off from NATS/,
      );
      const publisher = await connect({ servers: nats.url });
      publisher.publish("orders.new", '{"n":1}');
      await publisher.drain();
      await view.untilRows(newest("orders.new"), "message after the return");
      expect(view.complaints).toEqual([]);
    } finally {
      await nats.stop();
    }
  });

  test("Console shows all that is exposed, a key-value bucket of NATS' own subjects too", async () => {
    const nats = await startNatsServer({ jetstream: true });
    try {
      const publisher = await connect({ servers: nats.url });
      const bucket = await publisher.jetstream().views.kv("settings");
      const config = { nats_url: nats.url, subjects: ["orders.>"], streams: ["KV_settings"] };
      gateway = await startGateway(TARGETS.bun, { config });
      const view = await ConsoleView.open(open, gateway.url);
      await bucket.put("colour", '"blue"');
      await view.untilRows(newest("$KV.settings.colour"), "value of the bucket");
      publisher.publish("orders.new", '{"n":1}');
      await view.untilRows(newest("orders.new"), "message of core NATS");
      await publisher.close();
    } finally {
      await nats.stop();
    }
  });

  test("Console shows a message once that two of its subscriptions bring", async () => {
    // A subscription has at most 64 subjects.
    const others = Array.from({ length: 64 }, (_, n) => `other.${n}`);
    gateway = await startGateway(TARGETS.bun, {
      config: { subjects: ["orders.>", ...others, "*.eu"] },
    });
    const view = await ConsoleView.open(open, gateway.url);
    await untilMetric(gateway, "websocket_upstream_subscriptions", (count) => count === 66);
    for (const subject of ["orders.us", "orders.eu", "bills.eu", "other.63"]) {
      await post(gateway, subject, "1");
    }
    const rows = await view.untilRows(newest("other.63"), "the last message");
    expect(rows.map(({ subject }) => subject)).toEqual([
      "other.63",
      "bills.eu",
      "orders.eu",
      "orders.us",
    ]);
    await view.untilText("#total", "4");
    expect(view.complaints).toEqual([]);
  });

  test("Console says why a filter brings nothing, and connects with a right one", async () => {
    gateway = await startGateway(TARGETS.bun, { config: { subjects: ["orders.>"] } });
    const view = await ConsoleView.open(open, gateway.url);
    await view.filter("payments.>");
    await view.untilShown("#problem", /refuses the subscription: .*payments\.>/);
    await view.untilState("open, but nothing is subscribed to");
    await view.filter("orders.eu");
    await view.untilState("open");
    expect(await view.shown("#problem")).toBe("");
    await post(gateway, "orders.eu", "1");
    await view.untilRows(newest("orders.eu"), "message of the filter");
  });

  test("Page of another origin, in five lines, receives messages", async () => {
    const page = (wsUrl: string): string => `<!doctype html><ul id="list"></ul><script>
      const socket = new WebSocket("${wsUrl}");
      socket.onopen = () => { document.title = "open"; };
      socket.onmessage = (event) => {
        const message = JSON.parse(event.data);
        list.append(message.subject + "=" + message.payload.n + " ");
      };
    </script>`;
    let wsUrl = "";
    await using site = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response(page(wsUrl), { headers: { "Content-Type": "text/html" } }),
    });
    const config = { allowed_origins: [site.url.origin] };
    gateway = await startGateway(TARGETS.bun, { config });
    wsUrl = gateway.wsUrl;
    const opened = await open(site.url.href);
    await opened.page.waitForFunction(() => document.title === "open");
    await post(gateway, "page.a", '{"n":1}');
    await post(gateway, "page.b", '{"n":2}');
    await opened.page.waitForFunction(
      () => document.querySelector("#list")?.textContent === "page.a=1 page.b=2 ",
    );
  });
});
