import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../src/config/parse.ts";
import { loadRefusalOf, refusalOf } from "./refusal.ts";

const live = { type: "output", name: "websocket", enabled: true, config: { port: 9000 } };
const off = { ...live, enabled: false };
const udp = { type: "input", name: "udp", enabled: true, config: { port: 14550, bind: "0.0.0.0" } };
const receiver = { type: "input", name: "websocket", enabled: true, config: {} };

describe("Flow file", () => {
  test("gives its one enabled websocket output, named after the instance", () => {
    const components = { udp, receiver, off, "ws-live": live };
    const config = parseConfig({
      version: "1.0.0",
      platform: { org: "c360" },
      nats: { jetstream: { enabled: true }, reconnect_wait: 2 },
      services: {},
      streams: {},
      components,
    });
    expect(config).toMatchObject({ name: "ws-live", port: 9000 });
  });

  test("may leave out the output's config", () => {
    const { config: _, ...bare } = live;
    expect(parseConfig({ components: { bare } })).toEqual({ ...parseConfig({}), name: "bare" });
  });

  test("may have StreamKit's ports in it", () => {
    const ports = { outputs: [{ subject: "http://0.0.0.0:8082/ws" }] };
    const config = parseConfig({ components: { ws: { ...live, config: { ports } } } });
    expect(config).toMatchObject({ port: 8082, subjects: ["semantic.>"] });
  });

  test("gives its NATS server too", () => {
    const nats = {
      urls: ["nats://a:4222"],
      username: "u",
      password: "p",
      token: "",
      max_reconnects: -1,
      tls: { enabled: true, ca_file: "ca.pem", cert_file: "" },
    };
    expect(parseConfig({ nats, components: { live } })).toMatchObject({
      natsUrls: ["nats://a:4222"],
      natsUser: "u",
      natsPassword: "p",
      natsTlsCaFile: "ca.pem",
    });
  });

  test("gives no certificates of a TLS that is off", () => {
    const nats = { urls: ["nats://a"], tls: { enabled: false, ca_file: "ca.pem" } };
    expect(parseConfig({ nats, components: { live } }).natsTlsCaFile).toBeUndefined();
  });

  test.each<[unknown, string]>([
    [{}, '"components" has no enabled output named "websocket"'],
    [[], '"components" has no enabled output named "websocket"'],
    [{ udp, receiver }, '"components" has no enabled output named "websocket"'],
    [
      { edge: { ...live, name: "websokcet" } },
      '"components" has no enabled output named "websocket" ("edge" is "websokcet")',
    ],
    [{ off }, '"components" has no enabled output named "websocket" (disabled: "off")'],
    [
      { a: live, b: live },
      '"components" must have one enabled output named "websocket" but has 2: "a", "b"',
    ],
    [{ live: { ...live, config: [] } }, '"config" of component "live" must be an object'],
  ])("with the components %j is refused", (components, problem) => {
    expect(refusalOf({ components })).toBe(`Cannot use configuration: ${problem}`);
  });

  test.each<[object, string]>([
    [
      { components: { live }, port: 9001 },
      '"port" has no effect beside "components"; move it into "config" of component "live"',
    ],
    [
      { components: { live }, ports: {} },
      '"ports" has no effect beside "components"; move it into "config" of component "live"',
    ],
    [{ components: { live }, prot: 9001 }, '"prot" is not a known key; did you mean "port"?'],
    [
      { components: { live }, ntas: { urls: ["nats://a"] } },
      '"ntas" is not a known key; did you mean "nats"?',
    ],
    [
      { components: { live }, nats: { url: "nats://a" } },
      '"nats.url" is not a known key; did you mean "urls"?',
    ],
    [
      { components: { live }, nats: { urls: "tls://a", tls: { enable: true } } },
      '"nats.tls.enable" is not a known key; did you mean "enabled"?',
    ],
    [{ components: { live }, nats: "nats://a" }, '"nats" must be an object'],
    [{ componets: { live } }, '"componets" is not a known key; did you mean "components"?'],
  ])("%j is refused", (flow, problem) => {
    expect(refusalOf(flow)).toBe(`Cannot use configuration: ${problem}`);
  });

  test("with an entry that has an unknown key is refused", () => {
    const components = { live: { ...live, conifg: { port: 9001 } } };
    expect(refusalOf({ components })).toBe(
      'Cannot use configuration from component "live": "conifg" is not a known key; did you mean "config"?',
    );
  });

  test("that is wrong is refused with the component and the file", async () => {
    const components = { live: { ...live, config: { http_port: 8082 } } };
    expect(
      await loadRefusalOf({
        argv: ["--config", "flow.json"],
        files: { "flow.json": { components } },
      }),
    ).toBe(
      'Cannot use configuration from component "live" of flow.json: "http_port" is not a known key',
    );
  });

  test("whose instance has a name that can't be used is refused", () => {
    expect(refusalOf({ components: { "my output": live } })).toBe(
      'Cannot use configuration from component "my output": "name" is "my output" but must be 1 to 64 of A-Z a-z 0-9 _ . -',
    );
  });
});
