import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { parseConfig } from "../../src/config/parse.ts";
import { createNodeRuntime } from "../../src/runtime/node.ts";
import type { Listener, ServerTls } from "../../src/runtime/runtime.ts";
import { createCertificates } from "../source/credentials.ts";
import { until } from "../support/event-log.ts";

const folder = mkdtempSync(join(tmpdir(), "spillway-renewal-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The certificates of three authorities. */
const authorities: ReturnType<typeof createCertificates>[] = [];
beforeAll(() => {
  for (const name of ["first", "second", "third"]) {
    mkdirSync(join(folder, name));
    authorities.push(createCertificates(join(folder, name)));
  }
});

const tlsOf = ({ server: { cert, key } }: (typeof authorities)[number]): ServerTls => ({
  ...{ cert, key, clientCa: [], minVersion: "1.2", clientNames: [] },
});

async function listen(): Promise<Listener> {
  const limits = { ...parseConfig({}), maxBodyBytes: 1024, maxConnections: 100 };
  const tls = tlsOf(authorities[0]!);
  const fetch = () => new Response("ok");
  return await createNodeRuntime(limits).listen({ host: "127.0.0.1", port: 0, fetch, tls });
}

/** Whether a connection is accepted; with TLS, the index of the authority whose certificate the server shows. */
function shown(port: number): Promise<number | "refused"> {
  return new Promise((resolve) => {
    const ca = authorities.map(({ ca: { cert } }) => cert);
    const socket = connect({ host: "127.0.0.1", port, ca }, () => {
      const { raw } = socket.getPeerCertificate();
      const pem = raw.toString("base64");
      resolve(
        authorities.findIndex(({ server }) => server.cert.replaceAll("\n", "").includes(pem)),
      );
      socket.destroy();
    });
    socket.on("error", () => resolve("refused"));
  });
}

/** Occupies a port until it is called again. */
function occupy(port: number): Promise<() => Promise<void>> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port }, () =>
      resolve(() => new Promise((freed) => server.close(() => freed()))),
    );
  });
}

describe("A listener whose certificate is renewed", () => {
  test("twice at once shows the last one, and is closed by its stop", async () => {
    const listener = await listen();
    expect(await shown(listener.port)).toBe(0);
    listener.setTls!(tlsOf(authorities[1]!));
    listener.setTls!(tlsOf(authorities[2]!));
    await until(
      "the last certificate",
      () => shown(listener.port),
      (it) => it === 2,
    );
    await listener.stop();
    expect(await shown(listener.port)).toBe("refused");
  });

  test("just before its stop is closed all the same, also when it is renewed again during the stop", async () => {
    const listener = await listen();
    listener.setTls!(tlsOf(authorities[1]!));
    const stopped = listener.stop();
    listener.setTls!(tlsOf(authorities[2]!));
    await stopped;
    listener.setTls!(tlsOf(authorities[2]!));
    expect(await shown(listener.port)).toBe("refused");
    // Nobody else has the port.
    await (await occupy(listener.port))();
  });
});
