import { describe, expect, test } from "bun:test";
import type { Log } from "../../src/core/ports/log.ts";
import type { GatewayDeps } from "../../src/gateway/deps.ts";
import { createGateway } from "../../src/gateway/gateway.ts";
import type { AccessRequest, ConfigInput } from "../../src/mod.ts";

const allow = (sub: string, subjects: object, actions: string[]) => ({
  sub,
  authorization_details: [{ type: "spillway", actions, subjects }],
});

/** A started gateway, and requests to it; everything is stopped after the test. */
async function withGateway(
  config: ConfigInput,
  deps: GatewayDeps,
  use: (ask: (path: string, init?: RequestInit) => Promise<Response>) => Promise<void>,
): Promise<void> {
  const gateway = await createGateway(config, deps);
  await gateway.start();
  const bodies: Response[] = [];
  try {
    await use(async (path, init) => {
      const response = await gateway.app.request(`http://localhost${path}`, init);
      if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
        bodies.push(response);
      }
      return response;
    });
  } finally {
    for (const { body } of bodies) await body?.cancel();
    await gateway.stop(0);
  }
}

const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });

const authorize: GatewayDeps["authorize"] = ({ credentials }) => {
  if (credentials.kind === "basic") return undefined;
  if (credentials.kind !== "token") return null;
  switch (credentials.token) {
    case "reads":
      return allow("ann", { allow: ["a.>"] }, ["subscribe"]);
    case "writes":
      return allow("bob", { allow: ["a.>"], deny: ["a.secret"] }, ["publish"]);
    case "nothing":
      return { sub: "eve" };
    case "broken":
      throw new Error("no database");
    default:
      return null;
  }
};

describe("With the hook authorize", () => {
  test("what a client may receive comes from its claims", async () => {
    await withGateway({}, { authorize }, async (ask) => {
      expect((await ask("/ws/sse?subjects=a.x", bearer("reads"))).status).toBe(200);
      expect((await ask("/ws/sse", bearer("reads"))).status).toBe(200);
      expect((await ask("/ws/sse?subjects=b", bearer("reads"))).status).toBe(403);
      expect((await ask("/ws/sse?subjects=a.x", bearer("writes"))).status).toBe(403);
      expect((await ask("/ws/sse", bearer("nothing"))).status).toBe(403);
      const refused = await ask("/ws/sse", bearer("unknown"));
      expect(refused.status).toBe(401);
      expect(refused.headers.get("www-authenticate")).toContain('error="invalid_token"');
      expect((await ask("/ws/sse", bearer("broken"))).status).toBe(503);
      expect((await ask("/ws/sse")).status).toBe(401);
      const basic = { headers: { Authorization: `Basic ${btoa("u:p")}` } };
      expect((await ask("/ws/sse", basic)).status).toBe(401);
    });
  });

  test("what a client may publish comes from its claims", async () => {
    await withGateway({}, { authorize }, async (ask) => {
      const post = async (subject: string, token?: string) =>
        (
          await ask(`/publish/${subject}`, {
            method: "POST",
            body: "1",
            ...(token !== undefined && bearer(token)),
          })
        ).status;
      expect(await post("a.x", "writes")).toBe(202);
      expect(await post("a.secret", "writes")).toBe(403);
      expect(await post("b", "writes")).toBe(403);
      expect(await post("a.x", "reads")).toBe(403);
      expect(await post("a.x", "unknown")).toBe(401);
      expect(await post("a.x")).toBe(401);
      expect(await post("a..x", "writes")).toBe(400);
    });
  });

  test("only the stream, publishing, probes and the client are public", async () => {
    await withGateway({}, { authorize }, async (ask) => {
      for (const path of ["/livez", "/readyz", "/client.js"])
        expect((await ask(path)).status).toBe(200);
      for (const path of ["/healthz", "/metrics", "/schema.json", "/asyncapi.json", "/"]) {
        for (const init of [{}, bearer("reads"), { method: "HEAD" }, { method: "POST" }]) {
          expect([path, (await ask(path, init)).status]).toEqual([path, 403]);
        }
      }
    });
  });

  test("it gets the address, the headers and what is shown, and no cookie of a foreign page", async () => {
    const asked: AccessRequest[] = [];
    const hook: GatewayDeps["authorize"] = (request) => {
      asked.push(request);
      return null;
    };
    await withGateway({ allowed_origins: ["*"] }, { authorize: hook }, async (ask) => {
      const headers = { Cookie: "session=s", "X-Tenant": "acme" };
      await ask("/ws/sse", { headers: { ...headers, Origin: "https://evil.example" } });
      await ask("/ws/sse", { headers: { ...headers, "Sec-Fetch-Site": "same-origin" } });
    });
    expect(asked.map(({ headers }) => headers.get("cookie"))).toEqual([null, "session=s"]);
    expect(asked.map(({ headers }) => headers.get("x-tenant"))).toEqual(["acme", "acme"]);
    expect(asked[0]).toMatchObject({ credentials: { kind: "none" }, address: "unknown" });
  });

  test("nothing that a client shows is logged or answered", async () => {
    const said: unknown[] = [];
    const say = (...line: unknown[]) => void said.push(line);
    const log: Log = { debug: say, info: say, warn: say, error: say };
    const answers: string[] = [];
    await withGateway({ token_cookie: "token" }, { authorize, log }, async (ask) => {
      const token = "hunter2";
      const shown: RequestInit[] = [
        bearer(token),
        bearer(`${token} ${token}`),
        { headers: { Authorization: `${token} x` } },
        { headers: { Authorization: `Basic ${btoa(`u:${token}`)}` } },
        { headers: { Cookie: `token=${token}`, "Sec-Fetch-Site": "same-origin" } },
        { headers: { "Sec-WebSocket-Protocol": `spillway-token.${btoa(token)}` } },
      ];
      for (const init of shown) {
        for (const path of ["/ws/sse", `/ws/sse?access_token=${token}`, "/ws"]) {
          answers.push(await (await ask(path, init)).text());
        }
      }
    });
    const hidden = new RegExp(`hunter2|${btoa("hunter2").replace(/=+$/, "")}`);
    expect(JSON.stringify(answers)).not.toMatch(hidden);
    expect(JSON.stringify(said)).not.toMatch(hidden);
    expect(JSON.stringify(said)).toContain("access_refused");
  });
});

describe("Anonymous clients", () => {
  test("have what the configuration allows them, and no more", async () => {
    const anonymous = [{ subjects: { allow: ["news.>"], deny: ["news.paid"] } }];
    await withGateway({ anonymous }, {}, async (ask) => {
      expect((await ask("/ws/sse?subjects=news.x")).status).toBe(200);
      expect((await ask("/ws/sse?subjects=a")).status).toBe(403);
      expect((await ask("/ws/sse?subjects=news.x", bearer("any"))).status).toBe(401);
      expect((await ask("/publish/news.x", { method: "POST", body: "1" })).status).toBe(403);
    });
  });

  test("are asked for after the hook", async () => {
    const anonymous = [{ subjects: { allow: ["news.>"] } }];
    const hook: GatewayDeps["authorize"] = (request) =>
      request.credentials.kind === "none" ? undefined : authorize?.(request);
    await withGateway({ anonymous }, { authorize: hook }, async (ask) => {
      expect((await ask("/ws/sse?subjects=news.x")).status).toBe(200);
      expect((await ask("/ws/sse?subjects=a.x", bearer("reads"))).status).toBe(200);
      expect((await ask("/ws/sse?subjects=news.x", bearer("reads"))).status).toBe(403);
    });
  });

  test.each([[], [{ subjects: { allow: ["{sub}.x"] } }]])(
    "can't have %j, which names the key",
    async (...anonymous) => {
      const made = createGateway({ anonymous } as ConfigInput);
      expect(made).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringContaining('"anonymous"'),
      });
    },
  );
});

test("A service that decides needs NATS", async () => {
  expect(createGateway({ authorizer_subject: "_AUTH" })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining('"authorizer_subject" is "_AUTH" but needs NATS'),
  });
});
