import { describe, expect, test } from "bun:test";
import { reset } from "@logtape/logtape";
import { natsUrlProblems, UNSUPPORTED_KEYS, UNUSED_KEYS } from "../../src/edge/cloudflare-keys.ts";
import { openGateway } from "../../src/edge/open-gateway.ts";
import { createCloudflareRuntime } from "../../src/runtime/cloudflare.ts";

/** Opens a gateway with variables, as Cloudflare Workers would; nothing is connected. */
async function open(env: Record<string, string>) {
  // Each gateway has a log of its own here.
  await reset();
  const lines: string[] = [];
  const opened = await openGateway({
    name: "Cloudflare Workers",
    env,
    createRuntime: createCloudflareRuntime,
    unused: UNUSED_KEYS,
    unsupported: UNSUPPORTED_KEYS,
    checks: natsUrlProblems,
    readTextFile: (path) => {
      if (path === "env:TOKEN") return "s3cret\n";
      throw new Error("there is no such file");
    },
    write: (line) => void lines.push(line),
  });
  return { ...opened, lines };
}

async function problemsOf(env: Record<string, string>): Promise<string> {
  return await open(env).then(
    () => "",
    (error: Error) => error.message,
  );
}

describe("A gateway of a host without a command line", () => {
  test("has the settings of its variables", async () => {
    const { config } = await open({
      SPILLWAY_SUBJECTS: '["a.>","b.>"]',
      SPILLWAY_PATH: "/live",
      NATS_URL: "wss://nats.example.com",
      OTHER: "{}",
    });
    expect(config.subjects).toEqual(["a.>", "b.>"]);
    expect(config.path).toBe("/live");
    expect(config.natsUrls).toEqual(["wss://nats.example.com"]);
  });

  test("has those of SPILLWAY_CONFIG, which may be the content of a file; other variables beat it", async () => {
    const { config } = await open({
      SPILLWAY_CONFIG: ' { "subjects": ["a.>"], "path": "/live", // in JSONC\n}',
      SPILLWAY_PATH: "/more",
    });
    expect(config.subjects).toEqual(["a.>"]);
    expect(config.path).toBe("/more");
  });

  test("says where SPILLWAY_CONFIG is wrong, without its content", async () => {
    expect(
      await problemsOf({ SPILLWAY_CONFIG: '{"nats_url":"ws://h","nats_token":"hunter2","pth":1}' }),
    ).toBe(
      'Cannot use configuration from SPILLWAY_CONFIG: "pth" is not a known key; did you mean "path"?',
    );
    const broken = await problemsOf({ SPILLWAY_CONFIG: '{"nats_token":"hunter2"' });
    expect(broken).toStartWith("Cannot use configuration from SPILLWAY_CONFIG: ");
    expect(broken).not.toContain("hunter2");
  });

  test("refuses what its host can't do, each with the reason", async () => {
    const problems = await problemsOf({
      SPILLWAY_ADMIN_PORT: "9090",
      SPILLWAY_TLS_CERT_FILE: "cert.pem",
      SPILLWAY_TLS_KEY_FILE: "key.pem",
      SPILLWAY_NATS_URL: "nats://ann:hunter2@nats.example.com",
    });
    expect(problems).toContain(
      'SPILLWAY_ADMIN_PORT: "admin_port" is 9090 but must not be set on Cloudflare Workers, where a Worker can\'t listen on a port',
    );
    expect(problems).toContain('"tls_cert_file" is "cert.pem" but must not be set');
    expect(problems).toContain(
      '"nats_url" is "nats://***@nats.example.com" but must begin with wss:// or ws://',
    );
    expect(problems).not.toContain("hunter2");
  });

  test("warns of what has no effect on its host, and only of what is set", async () => {
    const { lines } = await open({ SPILLWAY_PORT: "9000", SPILLWAY_MARK_INTERVAL: "2s" });
    const notices = lines.map((line) => JSON.parse(line)).map(({ message }) => message);
    expect(notices).toEqual([
      '"port" has no effect on Cloudflare Workers, as a Worker can\'t listen on a port',
      '"mark_interval" has no effect on Cloudflare Workers, as a Worker can\'t send pings',
    ]);
  });

  test("reads the files of its configuration from its host", async () => {
    const nats = { NATS_URL: "wss://nats.example.com" };
    await open({ ...nats, SPILLWAY_NATS_TOKEN_FILE: "env:TOKEN" });
    expect(await problemsOf({ ...nats, SPILLWAY_NATS_TOKEN_FILE: "token" })).toContain(
      '"nats_token_file" is "token" but must name a file that can be read: there is no such file',
    );
  });
});

test("The addresses of accounts are checked, too", async () => {
  const { config } = await open({
    NATS_URL: "wss://nats.example.com",
    SPILLWAY_ACCOUNTS: '[{"name":"a","nats_token":"x"}]',
    SPILLWAY_ISSUERS:
      '[{"issuer":"https://i.example","audience":"a","jwks_url":"https://i.example/keys"}]',
  });
  const [account] = config.accounts;
  const accounts = [{ ...account!, natsUrls: ["tls://nats.example.com"] }];
  expect(natsUrlProblems({ ...config, accounts })).toMatchObject([
    { key: "accounts[0].nats_url", text: expect.stringContaining("must begin with wss://") },
  ]);
});
