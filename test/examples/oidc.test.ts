/** The example of a login with OpenID Connect: a real provider, a real browser, the gateway on each runtime. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Page } from "puppeteer-core";
import { installPackages } from "../../scripts/packages.js";
import { describeInBrowser, eventually, type OpenPage } from "../support/browser.ts";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { freePort } from "../support/free-port.ts";
import { cleanEnvironment, type Gateway, startGateway } from "../support/gateway-process.ts";
import { ensureNode } from "../support/node-binary.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";
import { openV1 } from "../support/v1-client.ts";

const FOLDER = `${ROOT}examples/oidc`;

setDefaultTimeout(180_000);
installPackages("examples/oidc");

await describeInBrowser("The example of a login", (open) => {
  describe.each(["bun", "deno", "node"] as const)("with the gateway on %s", (name) => {
    const programs: RunningProcess[] = [];
    let gateway: Gateway;
    let app: string;
    beforeAll(async () => {
      const [issuer, site, own] = await Promise.all([originOf(), originOf(), originOf()]);
      app = site!;
      const env = { ...cleanEnvironment(), ISSUER: issuer!, APP: app, GATEWAY: own! };
      for (const file of ["provider.js", "app.js"]) {
        const command = [ensureNode("node"), file];
        const program = await startProcess(file, command, { cwd: FOLDER, env });
        programs.push(program);
        await program.lines.find(({ text }) => text.startsWith("Listening"), "Listening");
      }
      const config = readFileSync(`${FOLDER}/spillway.json`, "utf8")
        .replaceAll("http://localhost:3000", issuer!)
        .replaceAll("http://localhost:3001", app)
        .replaceAll("http://localhost:8080", own!);
      const args = ["--port", new URL(own!).port];
      gateway = await startGateway(TARGETS[name], { config, args });
    });
    afterAll(async () => {
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      for (const program of programs) await program.stop();
    });

    test("shows users their own messages, by the cookie and by the token in a frame", async () => {
      const ann = await logIn(open, app, "ann");
      const bob = await logIn(open, app, "bob");
      await ann.click("#publish:enabled");
      await shows(ann, /bearer: orders\.ann\.1/);
      await shows(ann, /cookie: orders\.ann\.1/);
      await bob.click("#publish:enabled");
      await shows(bob, /bearer: orders\.bob\.1/);
      await shows(bob, /cookie: orders\.bob\.1/);
      expect(await textOf(bob)).not.toMatch(/orders\.ann|error|closed/);
      expect(await textOf(ann)).not.toMatch(/orders\.bob|error|closed/);
    });

    test("gives a token that counts without a cookie, and nobody else gets anything", async () => {
      const page = await logIn(open, app, "ann");
      const token = await page.evaluate(
        async () => await (await fetch("/token", { method: "POST" })).text(),
      );
      const client = await openV1(gateway.wsUrl);
      client.send({ type: "auth", token });
      expect(await client.next("authenticated")).toMatchObject({ sub: "ann" });
      await client.subscribe("a", ["orders.ann.>"]);
      client.send({ type: "subscribe", id: "b", subjects: ["orders.bob.>"] });
      expect(await client.next("error")).toMatchObject({ error: { code: "forbidden" } });
      client.raw.destroy();
      expect((await requestUpgrade(gateway.wsUrl)).status).toBe(401);
      expect((await fetch(`${app}/token`, { method: "POST" })).status).toBe(403);
    });
  });
});

/** Logs a user in, as a person does: at the provider, which lets in everybody. */
async function logIn(open: OpenPage, app: string, user: string): Promise<Page> {
  const { page } = await open(app);
  await shows(page, /Nobody is logged in/);
  await page.click("a");
  await page.type("input[name=login]", user);
  await page.type("input[name=password]", "any");
  await page.click("button[type=submit]");
  await page.waitForSelector("input[name=login]", { hidden: true });
  // The provider asks whether the app may know who it is.
  await page.click("button[type=submit]");
  await shows(page, new RegExp(`Logged in as ${user}`));
  await page.waitForSelector("#publish:enabled");
  return page;
}

const textOf = (page: Page): Promise<string> =>
  page.evaluate(() => document.querySelector("#out")?.textContent ?? "").catch(() => "");

async function shows(page: Page, pattern: RegExp): Promise<void> {
  await eventually(
    () => textOf(page),
    (text) => pattern.test(text),
    `text like ${pattern}`,
  );
}

/** An address on this machine that nobody listens at. */
async function originOf(): Promise<string> {
  return `http://localhost:${await freePort()}`;
}
