import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { TARGETS } from "../support/runtimes.ts";
import { run } from "./host.ts";

const TOKEN = "client-0123456789abcdef0123456789abcdef";

describe("A command that the gateway doesn't let in", () => {
  let directory: string;
  let gateway: Gateway;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "spillway-tail-"));
    const tokens = join(directory, "tokens.json");
    const sha256 = createHash("sha256").update(TOKEN).digest("hex");
    const details = [{ type: "spillway", subjects: { allow: ["orders.>"] } }];
    await writeFile(
      tokens,
      JSON.stringify([{ sha256, sub: "ann", authorization_details: details }]),
    );
    gateway = await startGateway(TARGETS.bun, { config: { admin_port: 0, tokens_file: tokens } });
  });
  afterAll(async () => {
    await gateway.stop();
    await rm(directory, { recursive: true });
  });

  test.each([
    ["no token", () => gateway.url, undefined, /\. Show a token with --token$/],
    [
      "another token",
      () => gateway.url,
      `x${TOKEN}`,
      /: it answered 401: .+\. Show another token with --token$/,
    ],
    [
      "a subject that isn't allowed",
      () => gateway.url,
      TOKEN,
      /^The gateway refuses .+\. Name other subjects, or show another token with --token$/,
    ],
    ["the port for operators", adminUrl, TOKEN, /: it answered 404: .+\. Set --url to the port .+/],
  ])("tail ends with 1 and says why and what to do, with %s", async (_, url, token, says) => {
    const subject = token === TOKEN ? "secret.>" : "orders.>";
    const files = { "token.txt": token };
    const shown = token === undefined ? [] : ["--token", "token.txt"];
    const argv = ["tail", subject, "--url", url(), ...shown];
    const { code, output, error } = await run(argv, { files });
    expect({ code, output }).toEqual({ code: 1, output: "" });
    const lines = error.trimEnd().split("\n");
    expect(lines.at(-2)).toMatch(says);
    expect(lines.at(-1)).toStartWith("More: spillway explain ");
  });

  test.each([
    ["another token", `x${TOKEN}`, /it answered 401: .+\. Show another token with --token\nMore: /],
    [
      "a subject that isn't allowed",
      TOKEN,
      /it answered 403: .+\. Set --subject .+, or show another token with --token\nMore: /,
    ],
  ])(
    "bench ends with 1 and says why and what to do, before it connects clients, with %s",
    async (_, token, says) => {
      const argv = ["bench", "--url", gateway.url, "--token", "token.txt"];
      const { code, error } = await run(argv, { files: { "token.txt": token } });
      expect(code).toBe(1);
      expect(error).toStartWith("Cannot connect to ws:");
      expect(error).toMatch(says);
    },
  );

  test("bench that may not publish says what to do, behind its figures", async () => {
    const argv = ["bench", "--url", gateway.url, "--token", "token.txt", "--subject", "orders.a"];
    const load = ["--clients", "1", "--time", "100ms"];
    const { code, output, error } = await run([...argv, ...load], {
      files: { "token.txt": TOKEN },
    });
    expect(code).toBe(1);
    expect(output).toContain("403 This client may not publish");
    expect(error).toEndWith("To publish, show another token with --token, or use --nats\n");
  });

  test("top says why and what to do where the pages of operators aren't served", async () => {
    const { code, error } = await run(["top", "--url", gateway.url]);
    expect(code).toBe(1);
    expect(error).toMatch(/it answered 403: .+\. Set --url to its admin_port; .+\nMore: /);
  });

  test("tail says why nobody answers, and tries again until a signal comes", async () => {
    const ended = new AbortController();
    const said: string[] = [];
    const { code } = await run(["tail", "orders.>", "--url", "http://127.0.0.1:1"], {
      interruption: ended.signal,
      saidError(text) {
        said.push(text);
        ended.abort();
      },
    });
    expect(code).toBe(0);
    expect(said[0]).toMatch(
      /^Cannot connect to ws:\/\/127\.0\.0\.1:1\/ws: .+; the client tries again\n$/,
    );
    expect(said[0]).not.toContain("1006");
  });

  function adminUrl(): string {
    const { properties } =
      gateway.logs.find(({ properties }) => properties.event === "admin_listening") ?? {};
    return `http://127.0.0.1:${properties?.port}`;
  }
});
