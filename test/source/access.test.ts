/** How a source gets past NATS' locks: users, tokens, NKeys, credentials files and TLS. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nkeys } from "nats";
import { connectNats } from "../../src/source/connect.ts";
import type { NatsOptions, NatsTls } from "../../src/source/connect-options.ts";
import { NatsSource } from "../../src/source/nats.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { createCertificates, createOperator } from "./credentials.ts";
import { Recorder } from "./recorder.ts";

const servers: NatsServer[] = [];
const sources: NatsSource[] = [];

async function serve(options: Parameters<typeof startNatsServer>[0]): Promise<NatsServer> {
  const server = await startNatsServer(options);
  servers.push(server);
  return server;
}

function start(options: Omit<NatsOptions, "name">): Recorder {
  const recorder = new Recorder();
  const nats = { options: { ...options, name: "test" } };
  const source = new NatsSource({ log: recorder.log, nats });
  source.subscribe("in");
  sources.push(source);
  source.start(recorder);
  return recorder;
}

/** Connects twice: a source, and a publisher whose message the source delivers. */
async function carried(options: Omit<NatsOptions, "name">): Promise<string> {
  const recorder = start(options);
  await recorder.until("connected");
  const publisher = await connectNats({ ...options, name: "publisher" });
  publisher.publish("in");
  const { subject } = await recorder.messages.next();
  await publisher.close();
  return subject;
}

/** Why a source can't connect. */
async function refused(options: Omit<NatsOptions, "name">): Promise<string> {
  const recorder = start(options);
  const { reason } = await recorder.until("connecting", (status) =>
    status.reason.startsWith("Cannot connect"),
  );
  expect(recorder.everythingSaid).not.toMatch(/s3cret|wr0ng/);
  return reason.replaceAll(/:\d+/g, "");
}

afterEach(async () => {
  await Promise.all(sources.splice(0).map((source) => source.stop(1_000)));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

for (const transport of ["nats", "ws"] as const) {
  const urlOf = (server: NatsServer, userinfo = ""): string =>
    (transport === "nats" ? server.url : server.wsUrl).replace("//", `//${userinfo}`);

  describe(`NatsSource over ${transport}:// gets in`, () => {
    test("with a user and password, beside the URL or in it", async () => {
      const server = await serve({ config: `authorization { user: me, password: "s3cret@:1" }` });
      const inUrl = urlOf(server, "me:s3cret%40%3A1@");
      expect(await carried({ servers: [inUrl] })).toBe("in");
      expect(await carried({ servers: [inUrl], user: "me", password: "wr0ng" })).toBe("in");
      const user = { user: "me", password: "s3cret@:1" };
      expect(await carried({ servers: [urlOf(server)], ...user })).toBe("in");
      const wrong = { servers: [urlOf(server)], user: "me", password: "wr0ng" };
      expect(await refused(wrong)).toEndWith("127.0.0.1: Authorization Violation");
      expect(await refused({ servers: [urlOf(server, "me:wr0ng@")] })).toEndWith(
        "***@127.0.0.1: Authorization Violation",
      );
    });

    test("with a token, beside the URL or in it", async () => {
      const server = await serve({ config: "authorization { token: s3cret }" });
      expect(await carried({ servers: [urlOf(server)], token: "s3cret" })).toBe("in");
      expect(await carried({ servers: [urlOf(server, "s3cret@")] })).toBe("in");
      expect(await refused({ servers: [urlOf(server)] })).toContain("Authorization Violation");
    });

    test("with an NKey", async () => {
      const user = nkeys.createUser();
      const nkeySeed = `${new TextDecoder().decode(user.getSeed())}\n`;
      const server = await serve({
        config: `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`,
      });
      expect(await carried({ servers: [urlOf(server)], nkeySeed })).toBe("in");
      const reason = await refused({ servers: [urlOf(server)], nkeySeed: "SUNONSENSE" });
      expect(reason).not.toContain("SUNONSENSE");
    });

    test("with a credentials file, whatever its line ends", async () => {
      const { config, creds } = createOperator();
      const server = await serve({ config });
      const dos = creds.trimEnd().replaceAll("\n", "\r\n");
      expect(await carried({ servers: [urlOf(server)], creds })).toBe("in");
      expect(await carried({ servers: [urlOf(server)], creds: dos })).toBe("in");
      const other = createOperator().creds;
      expect(await refused({ servers: [urlOf(server)], creds: other })).toContain(
        "Authorization Violation",
      );
      expect(await refused({ servers: [urlOf(server)], creds: "nonsense" })).toContain("bad creds");
    });

    test("once the server is told of it, however often it refused before", async () => {
      const server = await serve({ config: `authorization { user: me, password: s3cret }` });
      const url = urlOf(server);
      const recorder = start({ servers: [url], user: "me", password: "s3cret" });
      await recorder.until("connected");
      await server.stop();
      const { port, wsPort } = server;
      const listeners = (password: string): string =>
        `authorization { user: me, password: ${password} }
         websocket { host: "127.0.0.1", port: ${wsPort}, no_tls: true }`;
      const strict = await serve({ port, websocket: false, config: listeners("other") });
      await recorder.until("connecting", ({ reason }) => reason === "authorization violation");
      await strict.stop();
      await serve({ port, websocket: false, config: listeners("s3cret") });
      await recorder.until("connected");
    });
  });
}

test("NatsSource does not say what stands in the query of a URL", async () => {
  const server = await serve({});
  const url = `${server.wsUrl}?jwt=s3cret`;
  await server.stop();
  expect(await refused({ servers: [url] })).toContain("?***");
});

describe("NatsSource over TLS", () => {
  let directory: string;
  let pki: ReturnType<typeof createCertificates>;
  let config: (verify: boolean) => string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "spillway-tls-"));
    pki = createCertificates(directory);
    config = (verify) => {
      const { server, ca } = pki;
      const files = `cert_file: "${server.certFile}", key_file: "${server.keyFile}"`;
      const tls = `tls { ${files}, ca_file: "${ca.certFile}", verify: ${verify} }`;
      return `${tls}\nwebsocket { host: "127.0.0.1", port: -1, ${tls} }`;
    };
  });
  afterAll(() => rm(directory, { recursive: true }));

  // As the runtime adapter does it on Bun; the global type is the browsers'.
  const dialWebSocket = (url: string, tls: NatsTls): WebSocket =>
    new WebSocket(url, { tls } as unknown as string);

  for (const scheme of ["tls", "wss"] as const) {
    const urlOf = (server: NatsServer): string =>
      `${scheme}://127.0.0.1:${scheme === "tls" ? server.port : server.wsPort}`;

    test(`${scheme}:// trusts the authority that it was given, and no other without it`, async () => {
      const server = await serve({ websocket: false, config: config(false) });
      const given = { servers: [urlOf(server)], dialWebSocket };
      expect(await carried({ ...given, tls: { ca: pki.ca.cert } })).toBe("in");
      expect(await refused(given)).toContain("unable to verify the first certificate");
    });

    test(`${scheme}:// shows its own certificate to a server that asks for it`, async () => {
      const server = await serve({ websocket: false, config: config(true) });
      const given = { servers: [urlOf(server)], dialWebSocket };
      const { cert, key } = pki.client;
      expect(await carried({ ...given, tls: { ca: pki.ca.cert, cert, key } })).toBe("in");
    });
  }

  test("tls:// does not speak to a server without TLS", async () => {
    const server = await serve({});
    const reason = await refused({ servers: [server.url.replace("nats:", "tls:")] });
    expect(reason).toEndWith("the server does not offer tls");
  });
});
