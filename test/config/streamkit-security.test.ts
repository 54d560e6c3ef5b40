import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../src/config/parse.ts";
import { loadedConfig, refusalOf } from "./refusal.ts";

const server = { enabled: true, cert_file: "tls.crt", key_file: "tls.key" };
const mtls = { enabled: true, client_ca_files: ["ca.pem"], require_client_cert: true };
const withServer = (more: object) => ({ security: { tls: { server: { ...server, ...more } } } });

describe("StreamKit's security.tls.server", () => {
  test("sets certificate, key, lowest version, and authorities and names of clients", () => {
    const all = { min_version: "1.3", mtls: { ...mtls, allowed_client_cns: ["ann"] } };
    expect(parseConfig(withServer(all))).toMatchObject({
      tlsCertFile: "tls.crt",
      tlsKeyFile: "tls.key",
      tlsMinVersion: "1.3",
      tlsClientCaFiles: ["ca.pem"],
      tlsClientNames: ["ann"],
    });
  });

  test.each([
    [{ security: null }],
    [{ security: { tls: { client: { mode: "acme" } }, other: 1 } }],
    [withServer({ enabled: false, mode: "acme", mtls })],
  ])("%j sets nothing", (raw) => {
    expect(parseConfig(raw)).toEqual(parseConfig({}));
  });

  test("that Go has written with empty values sets only what has a value", () => {
    const empty = { mode: "", min_version: "", acme: { enabled: false } };
    const raw = withServer({ ...empty, mtls: { enabled: false, client_ca_files: [] } });
    expect(parseConfig(raw)).toEqual(
      parseConfig({ tls_cert_file: "tls.crt", tls_key_file: "tls.key" }),
    );
  });

  test("is read beside the components of a flow, and overridden like any key", async () => {
    const output = { type: "output", name: "websocket", enabled: true, config: {} };
    const files = { flow: { ...withServer({}), components: { ws: output } } };
    const argv = ["--config", "flow"];
    expect(await loadedConfig({ argv, files })).toMatchObject({ tlsCertFile: "tls.crt" });
    const env = { SPILLWAY_TLS_CERT_FILE: "other.crt" };
    expect(await loadedConfig({ argv, env, files })).toMatchObject({ tlsCertFile: "other.crt" });
  });

  test.each<[object, string]>([
    [{ security: "on" }, '"security" is "on" but must be an object'],
    [withServer({ enabled: "yes" }), '"security.tls.server.enabled" is "yes" but must be true or'],
    [
      withServer({ certfile: "x" }),
      '"security.tls.server.certfile" is not a known key; did you mean "cert_file"?',
    ],
    [
      withServer({ mtls: { ...mtls, client_ca_file: "x" } }),
      '"security.tls.server.mtls.client_ca_file" is not a known key; did you mean "client_ca_files"?',
    ],
    [withServer({ mode: "acme" }), '"security.tls.server.mode" is "acme" but must be "manual"'],
    [
      withServer({ acme: { enabled: true } }),
      '"security.tls.server.acme.enabled" is true but must be false',
    ],
    [
      withServer({ key_file: "" }),
      '"security.tls.server.key_file" is "" but must be the path of a file',
    ],
    [
      withServer({ mtls: { ...mtls, client_ca_files: [] } }),
      '"security.tls.server.mtls.client_ca_files" is an empty list but must be a list of one or more',
    ],
    [
      withServer({ mtls: { ...mtls, require_client_cert: false } }),
      '"security.tls.server.mtls.require_client_cert" is false but must be true',
    ],
    [withServer({ min_version: "1.1" }), '"tls_min_version" is "1.1" but must be "1.2" or "1.3"'],
    [
      { ...withServer({}), tls_cert_file: "other.crt" },
      '"tls_cert_file" is "other.crt" but "security.tls.server" says "tls.crt"',
    ],
  ])("%j is refused", (raw, problem) => {
    expect(refusalOf(raw)).toContain(problem);
  });
});
