import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createWorker } from "spillway/cloudflare";
import { untilReady } from "../contract/support/gateway-fixture.ts";
import { expectProblem } from "../contract/support/refusal.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(60_000);

describe("The example for Cloudflare Workers, in workerd", () => {
  let gateway: Gateway | undefined;
  afterEach(async () => void (await gateway?.stop()));

  test("answers 503 if the configuration is wrong, and its log says why", async () => {
    gateway = await startGateway(TARGETS.workerd, { config: { admin_port: 9090 } });
    const response = await gateway.get("/readyz");
    const { detail } = expectProblem(
      503,
      response.headers.get("content-type"),
      await response.text(),
    );
    expect(detail).toBe("The gateway can't start; its log says why");
    expect(gateway.output).toContain(
      '"admin_port" is 9090 but must not be set on Cloudflare Workers, where a Worker can\'t listen on a port',
    );
  });

  test("takes the secrets of the Worker for files", async () => {
    const server = await startNatsServer({ config: "authorization { token: hunter2 }" });
    gateway = await startGateway(TARGETS.workerd, {
      config: { nats_url: server.url, nats_token_file: "env:NATS_SECRET" },
      env: { NATS_SECRET: "hunter2\n" },
    });
    await untilReady(gateway);
    expect(gateway.output).not.toContain("hunter2");
    await server.stop();
  });

  test("has a path for each object", async () => {
    gateway = await startGateway(TARGETS.workerd, { config: {} });
    for (const path of ["/livez", "/1/livez"]) {
      expect((await gateway.get(path)).status).toBe(200);
    }
    expect((await gateway.get("/2/livez")).status).toBe(404);
  });

  test("knows nothing of its process, and says so by leaving it out of /metrics", async () => {
    gateway = await startGateway(TARGETS.workerd, { config: {} });
    const text = await (await gateway.get("/metrics")).text();
    const series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(series.length).toBeGreaterThan(20);
    expect(series.filter((line) => line.startsWith("process_"))).toEqual([]);
  });
});

describe("A Worker", () => {
  test("without a binding says which one is missing", async () => {
    const response = await createWorker().fetch(new Request("https://live.example/ws"), {});
    expectProblem(503, response.headers.get("content-type"), await response.text());
  });

  test("passes a request to the object that its path names, with the hint where it should run", async () => {
    const asked: unknown[] = [];
    const namespace = {
      idFromName: (name: string) => name,
      get: (id: unknown, options: unknown) => ({
        async fetch({ url }: Request) {
          asked.push([id, options, url]);
          return new Response();
        },
      }),
    };
    const worker = createWorker({ objects: ["eu"], binding: "LIVE", locationHint: "weur" });
    await worker.fetch(new Request("https://live.example/eu/ws?a=b"), { LIVE: namespace });
    expect(asked).toEqual([["eu", { locationHint: "weur" }, "https://live.example/ws?a=b"]]);
    const other = await worker.fetch(new Request("https://live.example/ws"), { LIVE: namespace });
    expectProblem(404, other.headers.get("content-type"), await other.text());
  });
});
