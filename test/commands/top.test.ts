import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { TARGETS } from "../support/runtimes.ts";
import { run } from "./host.ts";

test("spillway top says that another server is no gateway, whatever it answers first", async () => {
  const asked = Promise.withResolvers<void>();
  const server = Bun.serve({
    port: 0,
    async fetch({ url }) {
      if (url.endsWith("/readyz")) setTimeout(asked.resolve);
      else await asked.promise;
      return new Response("<html></html>");
    },
  });
  const url = `http://localhost:${server.port}/`;
  const { code, error } = await run(["top", "--url", url]);
  await server.stop(true);
  expect({ code, error }).toEqual({
    code: 1,
    error: `Cannot read ${url}: it is not this version's gateway. Set --url\nMore: spillway explain GATEWAY_UNREACHABLE\n`,
  });
});

test.each([
  ["NATS", true, ", NATS connected, ready"],
  ["NATS", false, ", NATS not connected, ready"],
  ["a host's", true, ", messages from a host's, ready"],
  ["a host's", false, ", a host's not connected, ready"],
])("spillway top says of %s whether it is connected: %p", async (name, connected, says) => {
  const page = {
    ...{ meta: { version: "1" }, health: { uptime: 0 }, source: { name, connected } },
    ...{ data_flow: { messages_per_second: 0, bytes_per_second: 0 }, ready: true, reasons: [] },
    lag: { seconds: { p50: 0, p99: 0, max: 0 }, furthest: [] },
  };
  const server = Bun.serve({ port: 0, fetch: () => Response.json(page) });
  const { output } = await run(["top", "--url", `http://localhost:${server.port}/`]);
  await server.stop(true);
  expect(output.split("\n")[0]).toEndWith(says);
});

describe("spillway top on a terminal", () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway(TARGETS.bun);
  });
  afterAll(() => gateway.stop());

  test("draws the table again and again until a signal comes, and says if the gateway is gone", async () => {
    const ended = new AbortController();
    let pictures = 0;
    const { code, output, error } = await run(["top", "--url", gateway.url, "--interval", "1ms"], {
      hasColors: true,
      interruption: ended.signal,
      // After the second picture, the gateway ends; after the next one, the command does.
      wrote: async () => {
        pictures++;
        if (pictures === 2) await gateway.stop();
        if (pictures === 3) ended.abort();
      },
    });
    expect({ code, error }).toEqual({ code: 0, error: "" });
    const shown = output.split("\u001b[H\u001b[J").slice(1);
    expect(shown).toHaveLength(3);
    for (const picture of shown.slice(0, 2)) {
      expect(picture).toStartWith("Spillway ");
      expect(picture).toContain("\u001b[2mclients ");
    }
    expect(shown[2]).toStartWith(`Cannot read ${gateway.url}/`);
    expect(shown[2]).toEndWith("It is asked again.\n");
  });

  test.each([
    [["--sort", "name"], '"--sort" is "name" but must be "lag" or "bytes" or "id"'],
    [
      ["--interval", "0s"],
      '"--interval" is "0s" but must be a duration above 0, like "500ms" or "2s"',
    ],
    [
      ["--url", "ftp://a"],
      '"--url" is "ftp://a" but must be the URL of a gateway, like "http://localhost:8080"',
    ],
    [
      ["--url", "http://me:secret@localhost"],
      '"--url" is "http://***@localhost" but must not have a login: give a token with --token',
    ],
    [
      ["--url", "me:se/cret@localhost"],
      '"--url" is "***@localhost" but must be the URL of a gateway, like "http://localhost:8080"',
    ],
    [["--token", "none.txt"], "Cannot read the token: no such file"],
  ])("%j is refused with 1", async (argv, says) => {
    const { code, output, error } = await run(["top", ...argv]);
    expect({ code, output }).toEqual({ code: 1, output: "" });
    expect(error).toBe(`${says}\nMore: spillway explain COMMAND_INVALID\n`);
  });
});
