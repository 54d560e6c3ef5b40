/** The console on the listener of operators, for clients that need a token, in a real browser. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeInBrowser } from "../support/browser.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { TARGETS } from "../support/runtimes.ts";
import { ConsoleView } from "./console-view.ts";

const ANN = "ann".padEnd(32, "-");
const BOB = "bob".padEnd(32, "-");

function entry(token: string, sub: string): object {
  const sha256 = createHash("sha256").update(token).digest("hex");
  const actions = ["subscribe", "publish"];
  const details = [{ type: "spillway", actions, subjects: { allow: [`users.${sub}.>`] } }];
  return { sha256, sub, authorization_details: details };
}

await describeInBrowser("The console, where clients need a token,", (open) => {
  let directory: string;
  let gateway: Gateway;
  let url: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "spillway-console-"));
    const tokens_file = join(directory, "tokens.json");
    await writeFile(tokens_file, JSON.stringify([entry(ANN, "ann"), entry(BOB, "bob")]));
    gateway = await startGateway(TARGETS.bun, { config: { tokens_file, admin_port: 0 } });
    const { properties } = await gateway.waitForLog(
      ({ properties }) => properties.event === "admin_listening",
    );
    url = String(properties.url);
  });
  afterAll(async () => {
    await gateway.stop();
    await rm(directory, { recursive: true });
  });

  async function openAs(token: string): Promise<ConsoleView> {
    const view = await ConsoleView.show(open, url);
    await view.untilState("closed: enter a token to connect");
    await view.useToken(token);
    await view.untilState("open");
    return view;
  }

  test("asks for one, connects to the port of the clients, and publishes with it", async () => {
    const view = await openAs(ANN);
    await view.publish("users.ann.1", '{"n":1}');
    const [row] = await view.untilRows((rows) => rows.length === 1, "what was published");
    expect(row).toEqual({ subject: "users.ann.1", mark: "json", preview: '{"n":1}' });
    expect(view.complaints).toEqual([]);
  });

  test("shows only what the token allows", async () => {
    const view = await openAs(BOB);
    await view.publish("users.ann.2", "x");
    await view.untilText("#outcome", /^Not published: /);
    await view.publish("users.bob.2", "x");
    await view.untilRows((rows) => rows[0]?.subject === "users.bob.2", "bob's own message");
    expect(await view.rows()).toHaveLength(1);
  });

  test("says that a token is wrong, and takes another one", async () => {
    const view = await ConsoleView.show(open, url);
    await view.untilState("closed: enter a token to connect");
    await view.useToken("nobody".padEnd(32, "-"));
    await view.untilState("closed: This gateway doesn't know the token");
    await view.useToken(ANN);
    await view.untilState("open");
  });

  test("begins anew with the token of another user", async () => {
    const view = await openAs(ANN);
    await view.publish("users.ann.3", "x");
    await view.untilRows((rows) => rows.length === 1, "ann's message");
    await view.useToken(BOB);
    await view.untilRows((rows) => rows.length === 0, "empty list");
    await view.untilState("open");
    await view.publish("users.bob.3", "x");
    await view.untilRows((rows) => rows[0]?.subject === "users.bob.3", "bob's message");
  });

  test("keeps the token neither in its page nor in the browser", async () => {
    const view = await openAs(ANN);
    const { html, field, stored } = await view.page.evaluate(() => ({
      html: document.documentElement.outerHTML,
      field: (document.querySelector("#token") as HTMLInputElement).value,
      stored: localStorage.length + sessionStorage.length + document.cookie.length,
    }));
    expect(html).not.toContain(ANN);
    expect({ field, stored }).toEqual({ field: "", stored: 0 });
    await view.page.reload();
    await view.untilState("closed: enter a token to connect");
  });
});
