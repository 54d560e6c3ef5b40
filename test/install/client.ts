/**
 * The client of the packed package, as its users have it: installed into an empty folder by each runtime's package
 * manager, bundled by the usual bundlers, and on a page that the README alone helped to write.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "nats";
import type { Page } from "puppeteer-core";
import { ROOT } from "../../scripts/installed.ts";
import { describeInBrowser, eventually, type OpenPage } from "../support/browser.ts";
import type { RunningProcess } from "../support/child-process.ts";
import { freePort } from "../support/free-port.ts";
import { startNatsServer } from "../support/nats-server.ts";
import {
  type Environment,
  INSTALL_DEADLINE_MS,
  Machines,
  type Packed,
  type PROGRAMS,
  pack,
} from "./environment.ts";

setDefaultTimeout(2 * INSTALL_DEADLINE_MS);

const machines = new Machines();
let packed: Packed;
/** An empty folder into which the package was installed, and a gateway of it. */
let installed: string;
let gateway: RunningProcess;
let gatewayUrl: string;
/** The pages that the gateway allows. */
let site: ReturnType<typeof Bun.serve>;
/** The site's answers, by the path of a request. */
let answer: (path: string) => Response = () => new Response(null, { status: 404 });

beforeAll(async () => {
  await machines.create();
  const node22 = machines.on("Node 22");
  packed = await pack(node22);
  installed = node22.folder("installed");
  await node22.run(installed, `npm install ${packed.tarball}`);
  site = Bun.serve({
    port: 0,
    hostname: "localhost",
    fetch: ({ url }) => answer(new URL(url).pathname),
  });
  gateway = await startGateway(node22, `--port 0`);
  gatewayUrl = await urlOf(gateway);
});
afterAll(async () => {
  await gateway?.stop();
  await site?.stop(true);
  await packed?.registry.stop();
  machines.remove();
});

/** Starts a gateway of the installed package, which allows the site's pages. */
function startGateway(machine: Environment, options: string): Promise<RunningProcess> {
  const command = `env SPILLWAY_ALLOWED_ORIGINS=${site.url.origin} npx spillway ${options}`;
  return machine.start(installed, command, true);
}

/** The address of a gateway, once it listens. */
async function urlOf({ lines }: RunningProcess): Promise<string> {
  const { text } = await lines.find(
    ({ text }) => text.includes('"event":"listening"'),
    "listening",
  );
  return (JSON.parse(text) as { properties: { url: string } }).properties.url;
}

const streamOf = (url: string): string => `${url.replace("http", "ws")}/ws`;

async function publish(payload: unknown): Promise<void> {
  const { status } = await fetch(`${gatewayUrl}/publish/orders.eu`, {
    method: "POST",
    body: JSON.stringify(payload),
  });
  expect(status).toBe(202);
}

/** Prints one message of the gateway that its argument names. */
const receiver = (client: string): string => `
import process from "node:process";
import { connect } from "${client}";

const connection = connect(process.argv[2]);
const orders = connection.subscribe("orders.>");
await orders.ready;
console.log("ready");
for await (const item of orders) {
  if (item.type !== "data") continue;
  console.log(item.subject, JSON.stringify(item.payload));
  break;
}
await connection.close();
`;

/** Prints where an error is explained. */
const HELP = `
import { SpillwayError } from "spillway/client";
console.log(new SpillwayError("slow_consumer", "").help);
`;

/** Prints what a server renders of a component that folds a stream, and the version of React. */
const RENDERER = `
import { createElement, version } from "react";
import { renderToString } from "react-dom/server";
import { useStream } from "spillway/react";

function Orders() {
  const { value } = useStream(undefined, "orders.>", { start: "no order", fold: (last) => last });
  return createElement("p", null, value);
}
console.log(version, renderToString(createElement(Orders)));
`;

const REACT_VERSIONS = ["18.3.1", "19.3.1"];

interface Project {
  /** Installs what package.json names. */
  readonly install: string;
  readonly run: string;
}

const DENO = "deno run --no-prompt --allow-net";

describe.each<[keyof typeof PROGRAMS, Project]>([
  ["Node 22", { install: "npm install", run: "node" }],
  ["the newest Node", { install: "npm install", run: "node" }],
  ["only Bun", { install: "bun install", run: "bun run" }],
  ["only Deno", { install: "deno install", run: DENO }],
])("The client of the package, on a machine with %s,", (name, { install, run }) => {
  test("receives a message, its program ends by itself, and an error's help is a file there", async () => {
    const folder = await project("receiver", {});
    writeFileSync(join(folder, "main.mjs"), receiver("spillway/client"));
    await receives(folder, `${run} main.mjs`);
    writeFileSync(join(folder, "help.mjs"), HELP);
    const help = (await machines.on(name).run(folder, `${run} help.mjs`)).trim();
    expect(readFileSync(join(folder, help), "utf8")).toContain("slow_consumer");
  });

  test.each(REACT_VERSIONS)("renders a component on a server with React %s", async (version) => {
    const folder = await project(`react-${version}`, { react: version, "react-dom": version });
    writeFileSync(join(folder, "main.mjs"), RENDERER);
    const command = run === DENO ? `${DENO} --allow-env` : run;
    expect(await machines.on(name).run(folder, `${command} main.mjs`)).toBe(
      `${version} <p>no order</p>\n`,
    );
  });

  if (run === DENO) {
    test("receives a message without any install, by npm:spillway", async () => {
      const folder = machines.on(name).folder("npm-specifier");
      writeFileSync(join(folder, "main.mjs"), receiver("npm:spillway/client"));
      await receives(folder, packed.fromRegistry(`${run} main.mjs`));
    });
  }

  /** Installs the package and others into an empty folder. */
  async function project(made: string, others: Record<string, string>): Promise<string> {
    const machine = machines.on(name);
    const folder = machine.folder(made);
    const manifest = { dependencies: { spillway: "*", ...others } };
    writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
    await machine.run(folder, packed.fromRegistry(install));
    return folder;
  }

  async function receives(folder: string, command: string): Promise<void> {
    const program = await machines.on(name).start(folder, `${command} ${streamOf(gatewayUrl)}`);
    await program.lines.find(({ text }) => text === "ready", "ready", INSTALL_DEADLINE_MS);
    await publish({ n: 1 });
    expect(await program.exited).toEqual({ code: 0, signal: null });
    const said = program.lines.entries.map(({ text }) => text);
    expect(said.slice(-2)).toEqual(["ready", 'orders.eu {"n":1}']);
  }
});

/** A page that shows each message, by React, with all parts of the client. */
const PAGE = `
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { connect, shared, webSocketOrEvents } from "spillway/client";
import { useStream } from "spillway/react";

const gateway = new URLSearchParams(location.search).get("gateway");
const connection = connect(gateway, shared({ transport: webSocketOrEvents() }));

function Orders() {
  const { value } = useStream(connection, "orders.>", {
    start: "",
    fold: (shown, item) => (item.type === "data" ? shown + " " + item.payload : shown),
  });
  return createElement("p", null, value);
}
createRoot(document.getElementById("root")).render(createElement(Orders));
`;

const HTML = `<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<div id="root"></div>
<script type="module" src="./main.js"></script>
`;

await describeInBrowser("The client of the package, bundled by", (open) => {
  describe.each(["esbuild", "vite", "webpack"])("%s", (bundler) => {
    test.each(REACT_VERSIONS)(
      "with React %s, receives messages without a warning",
      async (version) => {
        const folder = await writeSite(version, PAGE);
        expect(await complaintsOf(bundler, folder)).toEqual([]);
        answer = (path) =>
          new Response(Bun.file(join(folder, "out", path === "/" ? "index.html" : path)));
        const { page, complaints } = await open(`${site.url}?gateway=${streamOf(gatewayUrl)}`);
        // The page is open before its subscription is in effect.
        await eventually(
          async () => {
            await publish("new");
            return await page.evaluate(() => document.querySelector("p")?.textContent ?? "");
          },
          (text) => text.includes("new new"),
          "two orders",
        );
        expect(complaints).toEqual([]);
      },
    );

    test("complains of a name that the client doesn't have", async () => {
      const code = PAGE.replaceAll("webSocketOrEvents", "noSuchTransport");
      const folder = await writeSite(REACT_VERSIONS[0]!, code);
      expect((await complaintsOf(bundler, folder)).join()).toContain("noSuchTransport");
    });
  });

  /** The folders with each version of React, in which one site after the other is built. */
  const folders = new Map<string, string>();

  async function writeSite(react: string, code: string): Promise<string> {
    const folder = folders.get(react) ?? (await installSite(react));
    rmSync(join(folder, "out"), { recursive: true, force: true });
    writeFileSync(join(folder, "main.js"), code);
    return folder;
  }

  async function installSite(react: string): Promise<string> {
    const node22 = machines.on("Node 22");
    const folder = node22.folder(`site-${react}`);
    await node22.run(folder, `npm install ${packed.tarball} react@${react} react-dom@${react}`);
    writeFileSync(join(folder, "index.html"), HTML);
    folders.set(react, folder);
    return folder;
  }

  /** Bundles a site. @returns what the bundler complained of. */
  async function complaintsOf(bundler: string, folder: string): Promise<readonly string[]> {
    const program = `${ROOT}test/install/bundle-program.js`;
    const output = await machines.on("Node 22").run(folder, `node ${program} ${bundler}`);
    return JSON.parse(output.trim().split("\n").at(-1)!);
  }
});

await describeInBrowser("A page with the README's five lines", (open) => {
  test("misses nothing while its gateway is killed and started again", async () => {
    const node22 = machines.on("Node 22");
    const nats = await startNatsServer({ jetstream: true });
    const publisher = await connect({ servers: nats.url });
    const { streams } = await publisher.jetstreamManager();
    await streams.add({ name: "ORDERS", subjects: ["orders.>"] });
    const config = { nats_url: nats.url, streams: ["ORDERS:orders.>"], port: await freePort() };
    writeFileSync(join(installed, "spillway.json"), JSON.stringify(config));
    const start = () => startGateway(node22, "--config spillway.json");
    const first = await start();
    const url = await urlOf(first);

    const shown = await showReadme(open, url);
    const publishOrder = (payload: string) => publisher.jetstream().publish("orders.eu", payload);
    // The page is open before its subscription is in effect.
    await eventually(
      async () => {
        await publishOrder('"first"');
        return shown();
      },
      ({ length }) => length > 0,
      "first order",
    );

    const numbers = Array.from({ length: 300 }, (_, index) => `orders.eu ${index}`);
    const publishSome = async (from: number) => {
      for (let n = from; n < from + 100; n++) await publishOrder(`${n}`);
    };
    await publishSome(0);
    first.signal("SIGKILL");
    await first.exited;
    await publishSome(100);
    const second = await start();
    await publishSome(200);
    await eventually(
      async () => shown(),
      (lines) => lines.includes("orders.eu 299"),
      "last order",
    );
    expect(shown().filter((line) => line !== "orders.eu first")).toEqual(numbers);

    const stopping = second.stop();
    await second.lines.find(({ text }) => text.includes('"event":"stopped"'), "stopped");
    await stopping;
    await publisher.close();
    await nats.stop();
  });

  /** Opens a page with the code of the README. @returns what it has written to its console so far. */
  async function showReadme(show: OpenPage, url: string): Promise<() => readonly string[]> {
    const readme = readFileSync(`${ROOT}README.md`, "utf8");
    const [, code = ""] = /^```js\n(.*?)^```$/ms.exec(readme) ?? [];
    const { host } = new URL(url);
    const script = code.replaceAll("localhost:8080", host);
    expect(script.split(host)).toHaveLength(3);
    answer = () => {
      const body = `<!doctype html><link rel="icon" href="data:,"><script type="module">${script}</script>`;
      return new Response(body, { headers: { "Content-Type": "text/html" } });
    };
    const { page } = await show(site.url.href);
    return written(page);
  }
});

/** Records what a page's code writes to its console; the browser itself complains there of refused connections. */
function written(page: Page): () => readonly string[] {
  const lines: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "log") lines.push(message.text());
  });
  return () => lines;
}
