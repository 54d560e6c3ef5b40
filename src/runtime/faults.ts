import { reasonOf, SpillwayError } from "../core/errors.ts";

/** The error of an address that cannot be had, in the words of each runtime's own. */
export function cannotListen(host: string, port: number, cause: unknown): SpillwayError {
  const code = (cause as { code?: unknown } | undefined)?.code;
  const name = cause instanceof Error ? cause.name : "";
  const reason =
    code === "EADDRINUSE" || name === "AddrInUse"
      ? // Bun says so of a host name that it cannot resolve as well.
        `the port is in use${"Bun" in globalThis && isName(host) ? ", or the host is unknown" : ""}`
      : reasonOf(cause);
  return new SpillwayError(
    "transient",
    "LISTEN_FAILED",
    `Cannot listen on ${host}:${port}: ${reason}`,
    {
      cause,
    },
  );
}

function isName(host: string): boolean {
  return host !== "localhost" && !/^[\d.]+$|:/.test(host);
}

/** The error of a host's server that was not given what upgrades need. */
export function cannotUpgrade(runtime: string, missing: string): SpillwayError {
  return new SpillwayError(
    "invalid",
    "UPGRADE_UNSUPPORTED",
    `Cannot upgrade to a WebSocket on ${runtime} as the host's server was not given ${missing}`,
  );
}
