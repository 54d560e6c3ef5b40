import { ensureDebianProgram } from "./debian-program.ts";

/** A reverse proxy that docs/operations.md shows, by the name of its Debian package and of its program. */
export type ProxyName = "nginx" | "haproxy" | "caddy";

/** What to do where {@linkcode ensureProxy} finds none. */
export const PROXY_ADVICE = "install nginx, HAProxy and Caddy so that they are on the PATH";

/** The path of a proxy's program; `undefined`: tests that need the proxy are skipped. */
export function ensureProxy(name: ProxyName): string | undefined {
  return ensureDebianProgram({
    package: name,
    program: name,
    version: name === "caddy" ? "version" : "-v",
    hasLibraries: name === "haproxy",
  });
}
