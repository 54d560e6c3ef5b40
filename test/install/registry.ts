import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** An npm registry with one package; for all others it refers to another registry. */
export interface LocalRegistry {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * @param manifest the package's `package.json`.
 * @param tarball the path of what `npm pack` made.
 * @param upstream the registry that has the dependencies.
 */
export async function startRegistry(
  manifest: { readonly name: string; readonly version: string },
  tarball: string,
  upstream: string,
): Promise<LocalRegistry> {
  const { name, version } = manifest;
  const bytes = readFileSync(tarball);
  const path = `/${name}/-/${name}-${version}.tgz`;
  const server = createServer((request, response) => {
    if (request.url === path) {
      response.setHeader("content-type", "application/octet-stream").end(bytes);
    } else if (request.url === `/${name}`) {
      const dist = {
        tarball: `${url}${path}`,
        integrity: `sha512-${createHash("sha512").update(bytes).digest("base64")}`,
        shasum: createHash("sha1").update(bytes).digest("hex"),
      };
      const metadata = {
        name,
        "dist-tags": { latest: version },
        versions: { [version]: { ...manifest, dist } },
      };
      response.setHeader("content-type", "application/json").end(JSON.stringify(metadata));
    } else {
      response.writeHead(302, { location: new URL(request.url ?? "", upstream).href }).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
