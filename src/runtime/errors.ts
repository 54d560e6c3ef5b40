import { SpillwayError } from "../core/ports/errors.ts";

/** Returns the error for a host's server that lacks what upgrades need. */
export function cannotUpgrade(runtime: string, missing: string): SpillwayError {
  return new SpillwayError(
    "UPGRADE_UNSUPPORTED",
    `Cannot upgrade to a WebSocket on ${runtime} as the host's server was not given ${missing}`,
  );
}
