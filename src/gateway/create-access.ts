import { Access } from "../access/access.ts";
import type { Authenticator } from "../access/authenticator.ts";
import type { Config } from "../config/config.ts";
import { configError, type Problem } from "../config/problem.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import type { Clock } from "../core/ports/clock.ts";

/** The keys of authenticators. A key that is set and not served must not leave the gateway open. */
const MISSING = {
  tokensFile: "tokens_file",
  passwordsFile: "passwords_file",
  authorizerSubject: "authorizer_subject",
  anonymous: "anonymous",
} as const;

/** Returns the subjects that clients may have: those of core NATS and those of streams. */
export function exposedSubjects(config: Config): string[] {
  return [...config.subjects, ...streamInputs(config.streams).flatMap(({ subjects }) => subjects)];
}

/**
 * Makes what decides who is let in.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be used.
 */
export async function createAccess(config: Config, clock: Clock): Promise<Access> {
  const problems: Problem[] = Object.entries(MISSING)
    .filter(([field]) => config[field as keyof typeof MISSING] !== undefined)
    .map(([, key]) => ({ key, text: `"${key}" is not built yet` }));
  if (config.issuers.length > 0) {
    problems.push({ key: "issuers", text: '"issuers" is not built yet' });
  }
  if (problems.length > 0) throw configError(problems);
  const authenticators: Authenticator[] = [];
  return new Access({ ...config, subjects: exposedSubjects(config) }, authenticators, clock);
}
