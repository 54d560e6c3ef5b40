/** The example of an answer in tokens: a real browser that is reloaded, and gateways on each runtime, one of which is killed. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type NatsConnection } from "nats";
import type { Page } from "puppeteer-core";
import { describeInBrowser, eventually } from "../support/browser.ts";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { freePort } from "../support/free-port.ts";
import { cleanEnvironment, type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ensureNode } from "../support/node-binary.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(180_000);

await describeInBrowser("The example of an answer in tokens", (open) => {
  let nats: NatsServer;
  let connection: NatsConnection;
  let service: RunningProcess;
  let gateways: Gateway[] = [];
  let site: string;
  let ports: number[];
  beforeAll(async () => {
    nats = await startNatsServer({ jetstream: true });
    connection = await connect({ servers: nats.url });
    const [own, ...others] = await Promise.all([freePort(), freePort(), freePort()]);
    ports = others;
    site = `http://localhost:${own}`;
    const addresses = ports.map((port) => `ws://127.0.0.1:${port}/ws`).join();
    const env = { NATS_URL: nats.url, PORT: `${own}`, GATEWAYS: addresses, TOKENS_PER_SECOND: "8" };
    service = await startProcess(
      "service.js",
      [ensureNode("node"), "examples/llm-tokens/service.js"],
      {
        cwd: ROOT,
        env: { ...cleanEnvironment(), ...env },
      },
    );
    await service.lines.find(({ text }) => text.startsWith("Listening"), "Listening");
  });
  afterEach(async () => {
    for (const gateway of gateways.splice(0)) await gateway.stop();
  });
  afterAll(async () => {
    expect(await service.stop()).toEqual({ code: 0, signal: null });
    await connection.close();
    await nats.stop();
  });

  /** The whole answer, as the stream has it. */
  async function answerOf(run: string): Promise<string> {
    const consumer = await connection.jetstream().consumers.get("RUNS", {
      filterSubjects: `runs.${run}`,
    });
    let text = "";
    for await (const message of await consumer.consume()) {
      if (message.headers?.has("Spillway-End")) break;
      text += message.json<string>();
    }
    return text;
  }

  async function start(name: "bun" | "deno" | "node", port: number): Promise<Gateway> {
    const config = readFileSync(`${ROOT}examples/llm-tokens/spillway.json`, "utf8")
      .replaceAll("nats://localhost:4222", nats.url)
      .replaceAll("http://localhost:3001", site);
    const gateway = await startGateway(TARGETS[name], { config, args: ["--port", `${port}`] });
    gateways.push(gateway);
    return gateway;
  }

  test.each(["bun", "deno", "node"] as const)(
    "loses no token on %s if its gateway is killed in the middle, and then it is loaded again",
    async (name) => {
      const [first] = await Promise.all(ports.map((port) => start(name, port)));
      const { page } = await open(site);
      await hasWords(page, 5);
      first!.signal("SIGKILL");
      await first!.exited;
      gateways = gateways.filter((gateway) => gateway !== first);
      await hasWords(page, 10 + (await words(page)));
      const before = await words(page);
      await page.reload();
      await hasWords(page, before + 5);
      expect(await page.title()).not.toBe("Answered");
      await eventually(
        () => page.title(),
        (title) => title === "Answered",
        "end",
      );
      expect(await textOf(page)).toBe(await answerOf(new URL(page.url()).hash.slice(1)));
    },
  );

  test("is stopped by its button, and not by closing it", async () => {
    await Promise.all(ports.map((port) => start("bun", port)));
    const { page } = await open(site);
    await hasWords(page, 5);
    const address = page.url();
    await page.close();
    const { page: again } = await open(address);
    await hasWords(again, 10);
    await again.click("#cancel");
    await eventually(
      () => again.title(),
      (title) => title === "Answered",
      "end",
    );
    const text = await textOf(again);
    expect(text).toBe(await answerOf(new URL(address).hash.slice(1)));
    expect(text).not.toContain("complete");
  });
});

const textOf = (page: Page): Promise<string> =>
  page.evaluate(() => document.querySelector("#out")?.textContent ?? "").catch(() => "");

async function words(page: Page): Promise<number> {
  return (await textOf(page)).split(" ").length;
}

async function hasWords(page: Page, count: number): Promise<void> {
  await eventually(
    () => words(page),
    (now) => now >= count,
    `${count} words`,
  );
}
