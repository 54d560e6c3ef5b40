import { createServer } from "node:net";
import { connect, type TLSSocket } from "node:tls";

export interface TlsBridge {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Listens on loopback without TLS, and passes each connection on with TLS, so that clients which a test controls
 * to the last byte can talk to a server with TLS.
 *
 * @param to how `node:tls` connects.
 */
export async function startTlsBridge(to: Parameters<typeof connect>[0]): Promise<TlsBridge> {
  const ends = new Set<TLSSocket>();
  const server = createServer((near) => {
    const far = connect(to);
    ends.add(far);
    near.on("error", () => {}).on("close", () => far.destroy());
    far
      .on("error", () => {})
      .on("close", () => {
        ends.delete(far);
        near.destroy();
      });
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    port: (server.address() as { port: number }).port,
    async close() {
      for (const end of ends) end.destroy();
      await new Promise((closed) => server.close(closed));
    },
  };
}
