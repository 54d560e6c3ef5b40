import { describe, expect, test } from "bun:test";
import specs from "@asyncapi/specs";
import { Ajv } from "ajv";
import formats from "ajv-formats";
import { Hono } from "hono";
import { createGateway } from "../../src/gateway/gateway.ts";
import { VERSION } from "../../src/gateway/version.ts";
import { asyncApi } from "../../src/http/asyncapi.ts";
import { copier } from "../../src/protocol/schema.ts";

type Json = Readonly<Record<string, unknown>>;

interface Message {
  readonly name: string;
  readonly summary: string;
  readonly payload: Json;
  readonly examples: readonly { readonly payload: unknown }[];
}

interface Document extends Json {
  readonly channels: Readonly<Record<string, { address: string; messages: Json } & Json>>;
  readonly operations: Readonly<Record<string, { action: string; messages: Json[] }>>;
  readonly components: { readonly messages: Readonly<Record<string, Message>> };
}

const OPTIONS = {
  title: "Spillway",
  version: "1.2.3",
  path: "/live/",
  base: new URL("http://localhost/"),
} as const;
/** As it goes over the wire. */
const document = JSON.parse(JSON.stringify(asyncApi(OPTIONS))) as Document;
const messages = Object.entries(document.components.messages);

function newAjv(): Ajv {
  const ajv = new Ajv({ strict: false, allErrors: true });
  formats.default(ajv);
  return ajv;
}

// The one with ids holds JSON Schema itself, which Ajv has already.
const isAsyncApi = newAjv().compile(specs.schemasWithoutId["3.0.0"] as object);

/** Every reference in it, and every schema of a field. */
function walk(value: unknown, see: (object: Json) => void): void {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) see(value as Json);
  for (const part of Object.values(value)) walk(part, see);
}

describe("The AsyncAPI document", () => {
  test("is valid by the official schema of AsyncAPI 3.0", () => {
    isAsyncApi(document);
    expect(isAsyncApi.errors ?? []).toEqual([]);
  });

  test.each([
    ["another version", { ...document, asyncapi: "2.6.0" }],
    ["an unknown field", { ...document, endpoints: {} }],
    ["an operation without a channel", { ...document, operations: { x: { action: "send" } } }],
    [
      "a query that is no schema",
      { ...document, channels: { x: { bindings: { ws: { query: { type: "text" } } } } } },
    ],
  ])("would not be valid with %s", (_, wrong) => {
    expect(isAsyncApi(wrong)).toBe(false);
  });

  test("says what it is, and where", () => {
    expect(document).toMatchObject({
      asyncapi: "3.0.0",
      info: { title: "Spillway", version: "1.2.3", license: { name: "MIT" } },
      channels: {
        plain: { address: "/live/", servers: [{ $ref: "#/servers/websocket" }] },
        v1: { address: "/live/", servers: [{ $ref: "#/servers/websocket" }] },
        sse: { address: "/live/sse", servers: [{ $ref: "#/servers/http" }] },
      },
      servers: {
        websocket: { host: "localhost", protocol: "ws" },
        http: { host: "localhost", protocol: "http" },
      },
    });
  });

  test("refers to nothing that is not there", () => {
    const references: string[] = [];
    walk(document, ({ $ref }) => {
      if (typeof $ref === "string") references.push($ref);
    });
    const missing = references.filter((reference) => {
      const [root, ...keys] = reference.split("/");
      expect(root).toBe("#");
      return (
        keys.reduce<unknown>((at, key) => (at as Json | undefined)?.[key], document) === undefined
      );
    });
    expect(references.length).toBeGreaterThan(50);
    expect(missing).toEqual([]);
  });

  test("has each message of a channel in one of its operations, and each message somewhere", () => {
    const used = new Set<string>();
    for (const [name, { messages }] of Object.entries(document.channels)) {
      const carried = Object.values(document.operations)
        .flatMap((operation) => operation.messages.map(({ $ref }) => String($ref)))
        .filter((reference) => reference.startsWith(`#/channels/${name}/`))
        .map((reference) => reference.split("/").at(-1)!);
      expect(carried.sort()).toEqual(Object.keys(messages).sort());
      for (const message of carried) used.add(message);
    }
    expect([...used].sort()).toEqual(Object.keys(document.components.messages).sort());
  });

  test.each(messages)("%s has an example that is valid", (_, message) => {
    const isValid = newAjv().compile(message.payload);
    expect(message.examples.length).toBeGreaterThan(0);
    for (const { payload } of message.examples) {
      isValid(payload);
      expect(isValid.errors ?? []).toEqual([]);
      expect(copier(message.payload)(payload)).toEqual(payload);
      expect(payload).toMatchObject({ type: message.name });
    }
  });

  test.each(messages)("%s says of each field what it is", (_, message) => {
    expect(message.summary).toEndWith(".");
    const mute: string[] = [];
    walk(message.payload, ({ properties }) => {
      for (const [field, schema] of Object.entries((properties ?? {}) as Record<string, Json>)) {
        const speaks = "description" in schema || "const" in schema || schema.type === "object";
        if (!speaks) mute.push(field);
      }
    });
    expect(mute).toEqual([]);
  });

  test("has what stands in the query, and why connections end", () => {
    const { plain, sse, v1 } = document.channels;
    expect(plain).toMatchObject({
      bindings: {
        ws: {
          query: {
            type: "object",
            properties: {
              subjects: { type: "string" },
              after: { type: "string", maxLength: 512 },
              policy: { enum: ["disconnect", "drop-oldest", "drop-newest", "conflate"] },
              max_rate: { type: "number", exclusiveMinimum: 0, maximum: 1000 },
            },
          },
        },
      },
    });
    expect(document.operations.sendSse).toMatchObject({
      bindings: { http: { method: "GET", query: { properties: { subjects: {} } } } },
    });
    const causes = v1?.["x-close-codes"] as Json[];
    const slow = { code: 4510, reason: "slow consumer", reconnect: true };
    expect(causes.find(({ code }) => code === 4510)).toMatchObject(slow);
    const malformed = { code: 4400, reason: "too many malformed frames", reconnect: false };
    expect(causes.find(({ code }) => code === 4400)).toMatchObject(malformed);
    expect(sse).not.toHaveProperty("x-close-codes");
  });
});

describe("GET /asyncapi.json", () => {
  test("is the document, of this gateway's path and version", async () => {
    const { app } = await createGateway({ path: "/stream" });
    const response = await app.request("/asyncapi.json");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toStartWith("application/vnd.aai.asyncapi+json");
    const served = await response.json();
    expect(isAsyncApi(served)).toBe(true);
    expect(served).toEqual(
      JSON.parse(JSON.stringify(asyncApi({ ...OPTIONS, version: VERSION, path: "/stream" }))),
    );
  });

  test.each([
    ["http://[::1]:8081", "", { host: "[::1]:8081", protocol: "ws" }],
    ["https://live.example", "/a/b", { host: "live.example", protocol: "wss", pathname: "/a/b" }],
  ])("says that the gateway is where it was asked, at %s%s", async (origin, prefix, server) => {
    const { app } = await createGateway();
    const host = new Hono().route(prefix, app);
    const response = await host.request(`${origin}${prefix}/asyncapi.json`);
    const { servers } = (await response.json()) as { servers: { websocket: Json } };
    expect(servers.websocket).toEqual({ ...server, description: expect.any(String) });
  });

  test("answers HEAD like GET, without a body", async () => {
    const { app } = await createGateway();
    const response = await app.request("/asyncapi.json", { method: "HEAD" });
    expect([response.status, await response.text()]).toEqual([200, ""]);
    expect(response.headers.get("content-type")).toStartWith("application/vnd.aai.asyncapi+json");
  });

  test("is only read: 405 with Allow for other methods", async () => {
    const { app } = await createGateway();
    const response = await app.request("/asyncapi.json", { method: "POST" });
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });
});
