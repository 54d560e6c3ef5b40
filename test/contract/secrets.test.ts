import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { passwordHashText } from "../access/support/password-hash-text.ts";
import { runToExit, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { asOperator, untilReady } from "./support/gateway-fixture.ts";

/** Is in all secrets, and must be in nothing that the gateway says. */
const MARKER = "hunter2";
const secret = (name: string): string => `${name}-${MARKER}-0123456789abcdef0123456789abcdef`;
const PASSWORD = secret("password");
const TOKEN = secret("token");
const OPERATOR = secret("operator");
const WRONG = secret("wrong");

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const base64url = (text: string): string => Buffer.from(text).toString("base64url");
const basic = (password: string) => ({ Authorization: `Basic ${base64(`ann:${password}`)}` });
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const V1 = { "Sec-WebSocket-Protocol": "spillway.v1.json" };

/** The tokens that clients show, right and wrong, in each place; with the query. */
const SHOWN: readonly (readonly [Record<string, string>, string?])[] = [TOKEN, WRONG].flatMap(
  (token) => [
    [bearer(token)],
    [{ Cookie: `session=${token}`, Origin: "http://page.example" }],
    [{ Cookie: `session=${token}`, Origin: "http://evil.example" }],
    [{ "Sec-WebSocket-Protocol": `spillway.plain.json, spillway-token.${base64url(token)}` }],
    [{}, `?access_token=${token}`],
    [{}, `?access_token=${token}&subjects=$SYS.x`],
    [{ ...bearer(token), Cookie: `session=another-${token}`, Origin: "http://page.example" }],
    [bearer(`${token} and more`)],
    [bearer(`${token}é`)],
    [{ Authorization: `Digest ${token}` }],
    [bearer(`${base64url('{"alg":"HS256"}')}.${base64url(`{"sub":"${token}"}`)}.${token}`)],
  ],
);
const LOGINS: typeof SHOWN = [[basic(PASSWORD)], [basic(WRONG)], [{ Authorization: PASSWORD }]];

/** Everything that a secret may look like when it is shown. */
const TRACES = [
  MARKER,
  ...[TOKEN, WRONG, OPERATOR].flatMap((token) => [base64(token), base64url(token)]),
  ...[PASSWORD, WRONG].map((password) => base64(`ann:${password}`)),
];

function expectNoSecret(what: string, text: string): void {
  expect({ what, found: TRACES.filter((trace) => text.includes(trace)) }).toEqual({
    what,
    found: [],
  });
}

contract(EVERY_RUNTIME, (target) => {
  describe("Secrets", () => {
    let directory: string;
    let nats: NatsServer;
    let config: Readonly<Record<string, unknown>>;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-secrets-"));
      const write = async (name: string, value: unknown): Promise<string> => {
        const path = join(directory, name);
        await writeFile(path, typeof value === "string" ? value : JSON.stringify(value));
        return path;
      };
      nats = await startNatsServer({
        config: `accounts {
          MAIN: { users: [{ user: main, password: "${PASSWORD}" }] }
          ACME: { users: [{ user: acme, password: "${PASSWORD}" }] }
        }`,
      });
      const entry = (token: string, account?: string) => ({
        sha256: createHash("sha256").update(token).digest("hex"),
        sub: "ann",
        authorization_details: [{ type: "spillway", account, subjects: { allow: [">"] } }],
      });
      const { authorization_details } = entry(TOKEN);
      const user = { user: "ann", password_hash: passwordHashText(PASSWORD) };
      const operator = createHash("sha256").update(OPERATOR).digest("hex");
      const accounts = [
        { name: "acme", nats_url: nats.url, nats_user: "acme", nats_password: PASSWORD },
        { name: "refused", nats_url: nats.url, nats_token: WRONG },
        { name: "away", nats_url: `nats://u:${WRONG}@127.0.0.1:9` },
      ];
      const tokens = accounts.map(({ name }) => entry(`${name}-${TOKEN}`, name));
      config = {
        log_level: "debug",
        nats_url: nats.url.replace("//", `//main:${PASSWORD}@`),
        accounts,
        tokens_file: await write("tokens.json", [entry(TOKEN), ...tokens]),
        passwords_file: await write("passwords.json", [{ ...user, authorization_details }]),
        issuers: [
          { issuer: "i", audience: "a", jwks_url: `http://127.0.0.1:9/keys?key=${MARKER}` },
          {
            ...{ issuer: "j", audience: "a", algorithms: ["HS256"] },
            keys_file: await write("key", secret("key")),
          },
        ],
        token_cookie: "session",
        allow_query_token: true,
        allowed_origins: ["http://page.example"],
        admin_port: 0,
        admin_tokens_file: await write("operators.json", [
          { sha256: operator, sub: "otto", role: "operator" },
        ]),
      };
    });
    afterAll(async () => {
      await nats.stop();
      await rm(directory, { recursive: true });
    });

    test("of clients, operators and NATS are in nothing that the gateway says", async () => {
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      for (const [headers, query = ""] of [...SHOWN, ...LOGINS]) {
        const what = JSON.stringify([headers, query]);
        const shown = await requestUpgrade(gateway.wsUrl + query, { headers });
        shown.socket.destroy();
        expectNoSecret(what, JSON.stringify([...shown.headers]) + shown.body);
        const init = { method: "POST", headers, body: "1" };
        const posted = await fetch(`${gateway.url}/publish/a.b${query}`, init).catch(String);
        if (typeof posted === "string") continue;
        expectNoSecret(what, JSON.stringify([...posted.headers]) + (await posted.text()));
      }
      for (const name of ["acme", "refused", "away"]) {
        const headers = bearer(`${name}-${TOKEN}`);
        const { socket, status, body } = await requestUpgrade(gateway.wsUrl, { headers });
        expect({ name, status, body }).toMatchObject({ status: 101 });
        socket.destroy();
      }
      for (const token of [WRONG, `${WRONG} and more`, TOKEN]) {
        const client = new V1Client(await openRaw(gateway.wsUrl, { headers: V1 }));
        client.send({ type: "auth", id: "a", token, more: token });
        await client.until(
          ({ type, id }) => type === "authenticated" || type === "error" || id === "a",
          "answer",
        );
        expectNoSecret(token, JSON.stringify(client.said.entries));
        client.raw.destroy();
      }
      await gateway.waitForLog(
        ({ properties }) => JSON.stringify(properties).includes("refused"),
        "NATS refuses a login",
      );
      const admin = await asOperator(gateway);
      const { port } = new URL((await admin.get("/livez")).url);
      for (const token of [OPERATOR, WRONG]) {
        for (const path of ["/healthz", "/metrics", "/schema.json", "/asyncapi.json", "/"]) {
          const page = await fetch(`http://127.0.0.1:${port}${path}`, { headers: bearer(token) });
          expect(page.status).toBe(token === OPERATOR ? 200 : 401);
          expectNoSecret(path, JSON.stringify([...page.headers]) + (await page.text()));
        }
      }
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      expect(gateway.output).toContain('"audit":true');
      expectNoSecret("log", gateway.output);
    });

    test("of the configuration are not in what --check and errors say", async () => {
      const right = await runToExit(target, { config, args: ["--check"] });
      expect({ code: right.code, stderr: right.stderr }).toEqual({ code: 0, stderr: "" });
      expect(right.stdout).toContain('"name":"away"');
      expectNoSecret("--check", right.stdout);
      const wrong = await runToExit(target, {
        config: { ...config, nats_token: WRONG, nats_user: "u", nats_password: PASSWORD, port: -1 },
        env: { SPILLWAY_NATS_PASWORD: WRONG },
      });
      expect(wrong.code).toBe(1);
      expect(wrong.stderr).toContain('"nats_token"');
      expectNoSecret("errors", wrong.stdout + wrong.stderr);
      const env = { SPILLWAY_NATS_TOKEN: WRONG, NATS_URL: `nats://u:${PASSWORD}@127.0.0.1` };
      const help = await runToExit(target, { env, args: ["--help"] });
      expect(help.code).toBe(0);
      expectNoSecret("--help", help.stdout + help.stderr);
    });

    test("in files are read, and each fault of such a file names the key", async () => {
      const file = async (text: string): Promise<string> => {
        const path = join(directory, "one-line");
        await writeFile(path, text);
        return path;
      };
      const base = { nats_url: nats.url };
      for (const [key, more, other] of [
        ["nats_password_file", { nats_user: "main" }, { nats_password: WRONG }],
        ["nats_token_file", {}, { nats_token: WRONG }],
      ] as const) {
        const fault = async (content: string, others = {}) => {
          const given = { [key]: await file(content), ...others };
          return await runToExit(target, { config: { ...base, ...more, ...given } });
        };
        const missing = { ...base, ...more, [key]: join(directory, "none") };
        for (const [run, says] of [
          [await runToExit(target, { config: missing }), "must name a file that can be read"],
          [await fault(""), "a single line"],
          [await fault("\n"), "a single line"],
          [await fault(`${WRONG}\n${WRONG}\n`), "a single line"],
          [await fault(PASSWORD, other), "must not be set with"],
        ] as const) {
          expect(run).toMatchObject({ code: 1, stdout: "" });
          expect(run.stderr).toContain(`"${key}" is `);
          expect(run.stderr).toContain(says);
          expectNoSecret(says, run.stderr);
        }
      }
      const nats_password_file = await file(`${PASSWORD}\n`);
      const user = { nats_user: "main", nats_password_file, log_level: "debug" };
      const gateway = await startGateway(target, { config: { ...base, ...user } });
      await untilReady(gateway);
      expectNoSecret("/healthz", await (await gateway.get("/healthz")).text());
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      expectNoSecret("log", gateway.output);
    });
  });
});
