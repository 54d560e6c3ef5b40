/**
 * The client in an app of React Native, as far as that goes without a phone: bundled by its bundler, in its engine, and with
 * its `WebSocket`.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { installPackages } from "../../scripts/packages.js";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { DEADLINE_MS, within } from "../support/event-log.ts";
import { freePort } from "../support/free-port.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ensureNode } from "../support/node-binary.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(300_000);

const FOLDER = join(ROOT, "test/react-native");
/** Enough for each kind of fault. */
const SEEDS = 60;
/** The programs of Hermes, which has none for other machines. */
const HERMES: Readonly<Record<string, string>> = {
  "linux-x64": "linux64-bin/hermes",
  "darwin-x64": "osx-bin/hermes",
  "darwin-arm64": "osx-bin/hermes",
};

installPackages("test/react-native");
const node = ensureNode("node");
const project = mkdtempSync(join(tmpdir(), "spillway-react-native-"));
afterAll(() => rmSync(project, { recursive: true }));

/** The bundle for a platform, which Metro makes of the package as it is published. */
const bundles = new Map<string, string>();
beforeAll(() => {
  const installed = join(project, "node_modules/spillway");
  mkdirSync(join(installed, "dist"), { recursive: true });
  cpSync(join(ROOT, "package.json"), join(installed, "package.json"));
  for (const part of ["client", "protocol"]) {
    cpSync(join(ROOT, "dist", part), join(installed, "dist", part), { recursive: true });
  }
  for (const platform of ["android", "ios"]) {
    const out = join(project, `${platform}.js`);
    const command = [node, join(FOLDER, "metro-program.js"), project, platform, out];
    const { exitCode, stderr } = Bun.spawnSync(command);
    if (exitCode !== 0) throw new Error(`Metro failed: ${stderr}`);
    bundles.set(platform, out);
  }
});

/** Runs a program of the app in Hermes. @returns what it says. */
async function runInHermes(program: string): Promise<unknown[][]> {
  const file = join(project, `${program}.js`);
  const globals = `var PROGRAM = "${program}", SEEDS = ${SEEDS};\n`;
  writeFileSync(file, globals + readFileSync(bundles.get("android")!, "utf8"));
  const hermes = join(FOLDER, "node_modules/hermes-engine-cli", hermesName!);
  const running = await startProcess("hermes", [hermes, "-w", file]);
  const exit = await within(running.exited, "end of Hermes", 240_000);
  const lines = running.lines.entries.map(({ text }) => text);
  expect({ exit, lines }).toEqual({ exit: { code: 0, signal: null }, lines });
  return lines.map((line) => JSON.parse(line));
}

const hermesName = HERMES[`${process.platform}-${process.arch}`];

describe.skipIf(hermesName === undefined)("In Hermes 0.12", () => {
  test("each message comes once and in order, or a gap declares it", async () => {
    const facts = await runInHermes("simulation");
    // A run that fails says why, after its seed.
    expect(facts.slice(-2)).toEqual([["seed", SEEDS], ["done"]]);
  });

  test("the client uses nothing that is missing, and says so where an app asks for it", async () => {
    const facts = await runInHermes("engine");
    expect(facts.filter(({ length }) => length > 1)).toEqual([]);
    expect(facts).toHaveLength(7);
  });

  test("a component with `useStream` needs no DOM", async () => {
    expect(await runInHermes("hook")).toEqual([
      ["before", "open 0"],
      ["live", "open 2"],
      ["resumed", "open 3"],
      ["subscriptions", 0],
    ]);
  });
});

describe.each(["android", "ios"])("With React Native's WebSocket on %s, an app", (platform) => {
  let nats: NatsServer;
  let connection: NatsConnection;
  let gateway: Gateway;
  let app: RunningProcess;

  beforeAll(async () => {
    nats = await startNatsServer({ jetstream: true });
    connection = await connect({ servers: nats.url });
    const { streams } = await connection.jetstreamManager();
    await streams.add({ name: "ORDERS", subjects: ["orders.*"] });
  });
  afterAll(async () => {
    await app?.stop();
    await gateway?.stop();
    await connection?.close();
    await nats?.stop();
  });

  const publish = async (n: number): Promise<void> => {
    await connection.jetstream().publish("orders.eu", JSON.stringify({ n }));
  };

  const said = async (...fact: unknown[]): Promise<void> => {
    const line = JSON.stringify(fact);
    await app.lines.find(({ text }) => text === line, line, 2 * DEADLINE_MS);
  };

  test("gets each message once and in order, though its gateway is killed, and ends by itself", async () => {
    const port = await freePort();
    const start = (): Promise<Gateway> =>
      startGateway(TARGETS.bun, {
        config: { nats_url: nats.url, streams: ["ORDERS"], publish_subjects: ["orders.back"] },
        args: ["--port", `${port}`],
      });
    gateway = await start();
    const program = join(FOLDER, "host-program.ts");
    const bundle = bundles.get(platform)!;
    app = await startProcess("app", [node, program, bundle, platform, gateway.wsUrl]);
    await publish(1);
    await publish(2);
    await said("data", 2);
    gateway.signal("SIGKILL");
    await gateway.exited;
    await said("state", "waiting");
    await publish(3);
    gateway = await start();
    await said("data", 3);
    await publish(4);
    await said("data", 4);
    await publish(-1);
    const exit = await within(app.exited, "end of the app", 2 * DEADLINE_MS);
    expect(exit).toEqual({ code: 0, signal: null });
    const facts: unknown[][] = app.lines.entries.map(({ text }) => JSON.parse(text));
    const [states, others] = [true, false].map((isState) =>
      facts.filter(([type]) => (type === "state") === isState),
    );
    expect(others?.filter(([type]) => type !== "caught_up")).toEqual([
      ...[1, 2, 3, 4].map((n) => ["data", n]),
      ["published", "ORDERS"],
    ]);
    expect(states?.at(0)).toEqual(["state", "open"]);
    expect(states?.at(-1)).toEqual(["state", "closed"]);
  });
});
