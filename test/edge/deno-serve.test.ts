import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { useNats } from "../contract/support/nats-fixture.ts";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { until } from "../support/event-log.ts";
import { cleanEnvironment } from "../support/gateway-process.ts";
import { findDeno, ROOT } from "../support/runtimes.ts";
import { connect } from "../support/subscriber.ts";

setDefaultTimeout(60_000);

/** Runs the example with the command of its README, on a free port of loopback. */
async function serveExample(env: Record<string, string>): Promise<RunningProcess> {
  const flags = ["--allow-net", "--allow-env", "--host", "127.0.0.1", "--port", "0"];
  const command = [findDeno(), "serve", ...flags, "examples/deno-deploy/main.js"];
  return await startProcess("deno serve", command, {
    cwd: ROOT,
    env: { ...cleanEnvironment(), ...env },
  });
}

describe("The example for Deno Deploy", () => {
  const nats = useNats();
  let running: RunningProcess;
  let url: URL;
  beforeAll(async () => {
    running = await serveExample({
      NATS_URL: nats.server.wsUrl,
      SPILLWAY_SUBJECTS: "orders.>",
      SPILLWAY_PORT: "9000",
    });
    const { text } = await running.lines.find(({ text }) => text.includes('"listening"'), "line");
    url = new URL(JSON.parse(text).properties.url);
  });
  afterAll(async () => void (await running.stop()));

  test("carries NATS, which it reaches by WebSocket, to a client", async () => {
    const ready = async () => (await fetch(new URL("/readyz", url))).status;
    await until("200 from /readyz", ready, (status) => status === 200);
    const client = await connect(`ws://${url.host}/ws`);
    const publishing = setInterval(() => nats.publish("orders.1", '{"n":1}'), 20);
    expect(await client.next()).toMatchObject({ subject: "orders.1", payload: { n: 1 } });
    clearInterval(publishing);
    await client.close();
  });

  test("says that deno serve decides about the port", () => {
    const notice = running.lines.entries.find(({ text }) => text.includes("configuration_notice"));
    expect(JSON.parse(notice?.text ?? "").message).toBe(
      '"port" has no effect on deno serve, as deno serve --port decides',
    );
  });

  test("ends with 0 at a signal", async () => {
    expect(await running.stop()).toEqual({ code: 0, signal: null });
  });
});

test("A wrong configuration ends deno serve with 1, and it says why", async () => {
  const running = await serveExample({ SPILLWAY_SUBJECTS: "a..b" });
  expect(await running.exited).toEqual({ code: 1, signal: null });
  expect(running.lines.entries).toEqual([
    {
      stream: "stderr",
      text: 'Cannot use configuration from SPILLWAY_SUBJECTS: "subjects" is "a..b" but must not contain an empty token',
    },
  ]);
});
