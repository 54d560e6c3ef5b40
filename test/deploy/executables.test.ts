/** `npm run executables`: single files that run where there is no runtime, no package and no file of ours. */
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  makeBundle,
  makeBunExecutable,
  makeDenoExecutable,
  startPermissions,
} from "../../scripts/executables.ts";
import { VERSION } from "../../src/gateway/version.ts";
import { untilReady } from "../contract/support/gateway-fixture.ts";
import { freePort } from "../support/free-port.ts";
import { type Gateway, runToExit, startGateway } from "../support/gateway-process.ts";
import { connectLasting, flushed } from "../support/nats-connection.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { OtlpReceiver } from "../support/otlp-receiver.ts";
import { findDeno, TARGETS, type Target } from "../support/runtimes.ts";
import { connect } from "../support/subscriber.ts";
import { openV1 } from "../support/v1-client.ts";

setDefaultTimeout(180_000);

const folder = mkdtempSync(join(tmpdir(), "spillway-executables-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Deno downloads the runtime that it puts into executables; where it can't, its bundle is tested without. */
const byDeno = await makeDenoExecutable(join(folder, "spillway-deno")).then(
  () => [join(folder, "spillway-deno")],
  (error: Error) => {
    process.stderr.write(
      `Skipped: the executable by Deno, as its runtime is missing: ${error.message}\n`,
    );
  },
);
await makeBunExecutable(join(folder, "spillway"));
const bundle = await makeBundle(folder);
const { denoBundle, ...executables } = {
  "The executable by Bun": [join(folder, "spillway")],
  ...(byDeno !== undefined && { "The executable by Deno": byDeno }),
  denoBundle: [findDeno(), "run", "--no-prompt", "--no-config", ...startPermissions(), bundle],
};

test("An executable is at most 120 MB", () => {
  for (const [file] of Object.values(executables)) {
    expect(statSync(file!).size).toBeLessThan(120_000_000);
  }
});

test("Bun's executable loads a command without the others", () => {
  const modules = readFileSync(join(folder, "spillway"), "latin1").match(
    /\$bunfs\/root\/\w[\w-]*\.js/g,
  );
  // One file would be loaded whole, and a health check every few seconds would load a gateway.
  expect(new Set(modules).size).toBeGreaterThan(10);
});

describe.each(Object.entries({ ...executables, "What Deno puts into its executable": denoBundle }))(
  "%s",
  (name, command) => {
    const target: Target = {
      ...(name.includes("Deno") ? TARGETS.deno : TARGETS.bun),
      command: () => command,
    };
    let empty: string;
    let server: NatsServer;
    let gateway: Gateway | undefined;
    /** The folder and the environment of a machine that has nothing. */
    const nothing = () => ({ cwd: empty, env: { PATH: "/nonexistent" } });
    beforeAll(async () => {
      empty = join(folder, "empty", name);
      mkdirSync(empty, { recursive: true });
      server = await startNatsServer();
    });
    afterEach(async () => {
      await gateway?.stop();
      expect(readdirSync(empty)).toEqual([]);
    });
    afterAll(() => server.stop());

    test("prints its version and its help", async () => {
      const { code, stdout } = await runToExit(target, { ...nothing(), args: ["--version"] });
      expect({ code, stdout }).toEqual({ code: 0, stdout: `${VERSION}\n` });
      const help = await runToExit(target, { ...nothing(), command: ["check"], args: ["--help"] });
      expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining("spillway check") });
    });

    test("reads no settings from the folder that it is started in", async () => {
      const cwd = join(folder, "settings", name);
      mkdirSync(cwd, { recursive: true });
      await Bun.write(join(cwd, ".env"), "SPILLWAY_PORT=nonsense\n");
      const { code, stderr } = await runToExit(target, { ...nothing(), cwd, command: ["check"] });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    });

    test("carries messages without a NATS, and is healthy", async () => {
      const port = String(await freePort());
      gateway = await startGateway(target, { ...nothing(), args: ["--port", port] });
      const client = await connect(gateway.wsUrl);
      const published = await fetch(`${gateway.url}/publish/orders.1`, {
        method: "POST",
        body: "1",
      });
      expect(published.status).toBe(202);
      expect(await client.next()).toMatchObject({ subject: "orders.1", payload: 1 });
      const health = await runToExit(target, {
        ...nothing(),
        ...{ command: ["healthcheck"], args: ["--port", port] },
      });
      expect(health).toMatchObject({ code: 0, stdout: "ready\n" });
      await client.close();
    });

    const linux = process.platform === "linux";
    if (name.includes("Deno")) {
      test.skipIf(!linux)("says that it may not start workers", async () => {
        const { code, stderr } = await runToExit(target, {
          ...nothing(),
          args: ["--workers", "2"],
        });
        expect(code).toBe(1);
        expect(stderr).toContain('"workers" is 2 but must be 1 as Deno may not start programs');
      });
    } else {
      test.skipIf(!linux)("serves one port in two processes of its own file", async () => {
        gateway = await startGateway(target, { ...nothing(), args: ["--workers", "2"] });
        await untilReady(gateway);
        const { workers } = (await (await gateway.get("/healthz")).json()) as { workers: object[] };
        expect(workers).toMatchObject([{ state: "serving" }, { state: "serving" }]);
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      });
    }

    test("sends its metrics and its log to a collector of OpenTelemetry", async () => {
      const collector = new OtlpReceiver();
      const env = { ...nothing().env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
      gateway = await startGateway(target, { ...nothing(), env });
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      expect([...collector.metrics.keys()]).toContain("websocket_clients_active");
      expect(collector.logs.map(({ event }) => event)).toContain("listening");
      await collector.stop();
    });

    test.each(["url", "wsUrl"] as const)(
      "carries NATS (%s), and drains on SIGTERM",
      async (key) => {
        const env = { ...nothing().env, NATS_URL: server[key] };
        gateway = await startGateway(target, { ...nothing(), env });
        await untilReady(gateway);
        const client = await openV1(gateway.wsUrl);
        await client.subscribe("1", ["orders.>"]);
        const nats = await connectLasting(server.url);
        nats.publish("orders.1", "1");
        await flushed(nats);
        expect(await client.next("data")).toMatchObject({ subject: "orders.1", payload: 1 });
        await nats.close();
        gateway.signal("SIGTERM");
        expect(await client.next("disconnect")).toMatchObject({ cursor: expect.any(String) });
        expect((await client.closed()).code).toBe(1001);
        expect(await gateway.exited).toEqual({ code: 0, signal: null });
      },
    );
  },
);
