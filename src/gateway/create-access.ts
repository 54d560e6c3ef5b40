import { Access, type RevocationCheck } from "../access/access.ts";
import { AnonymousAuthenticator } from "../access/anonymous.ts";
import type { Authenticator } from "../access/authenticator.ts";
import { readPermissions } from "../access/authorization-details.ts";
import { readClaims } from "../access/claims.ts";
import { HookAuthenticator } from "../access/hook.ts";
import { NatsServiceAuthenticator, type ServiceRequests } from "../access/nats-service.ts";
import type { Config } from "../config/config.ts";
import { configError, type Problem } from "../config/problem.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Selection } from "../core/subject/subject.ts";
import { openCredentialFiles } from "./credential-files.ts";
import type { GatewayDeps } from "./deps.ts";
import type { PolledFiles } from "./polled-files.ts";

/** Who vouches for the names of clients, where their claims don't say it. */
const HOST_ISSUER = "host";

interface AccessParts {
  readonly deps: Pick<GatewayDeps, "authorize">;
  readonly clock: Clock;
  readonly log: Log;
  /** Sends requests to NATS; `undefined` if the source is another one. */
  readonly requests: ServiceRequests | undefined;
  readonly revocations: RevocationCheck;
  readonly files: PolledFiles;
  /** What clients may publish to that need no token. */
  readonly publishSubjects: Selection;
}

/** Returns the subjects that clients may have: those of core NATS and those of streams. */
export function exposedSubjects(config: Config): string[] {
  return [...config.subjects, ...streamInputs(config.streams).flatMap(({ subjects }) => subjects)];
}

/**
 * Makes what decides who is let in. Authenticators are asked in this order: the hook, the files, the issuers, the
 * service, and last what anonymous clients may do.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be used.
 */
export async function createAccess(config: Config, parts: AccessParts): Promise<Access> {
  const { tokens, passwords, issuers, ...files } = await openCredentialFiles(config, {
    ...parts,
    file: (path) => parts.files.file(path),
  });
  const problems = [...files.problems];
  const authenticators = [
    hookOf(config, parts),
    ...[tokens, passwords, issuers],
    serviceOf(config, parts, problems),
    anonymousOf(config, problems),
  ].filter((authenticator) => authenticator !== undefined);
  if (problems.length > 0) throw configError(problems);
  const { publishSubjects } = parts;
  const options = { ...config, publishSubjects, subjects: exposedSubjects(config) };
  return new Access(options, authenticators, parts.clock, parts.revocations);
}

function hookOf(config: Config, { deps, clock, log }: AccessParts): Authenticator | undefined {
  const { authorize } = deps;
  if (authorize === undefined) return undefined;
  return new HookAuthenticator(authorize, {
    timeoutMs: config.authorizerTimeoutMs,
    readClaims: (claims) => readClaims(claims, HOST_ISSUER),
    clock,
    log,
  });
}

function serviceOf(
  { authorizerSubject: subject, authorizerTimeoutMs: timeoutMs }: Config,
  { clock, log, requests }: AccessParts,
  problems: Problem[],
): Authenticator | undefined {
  if (subject === undefined) return undefined;
  if (requests === undefined) {
    const text = `"authorizer_subject" is ${JSON.stringify(subject)} but needs NATS: set "nats_url"`;
    problems.push({ key: "authorizer_subject", text });
    return undefined;
  }
  return new NatsServiceAuthenticator({
    subject,
    timeoutMs,
    requests,
    readClaims: (claims) => readClaims(claims, subject),
    clock,
    log,
  });
}

function anonymousOf({ anonymous }: Config, problems: Problem[]): Authenticator | undefined {
  if (anonymous === undefined) return undefined;
  const details = anonymous.map((rule) => ({ ...rule, type: "spillway" }));
  const permissions = readPermissions({ authorization_details: details });
  if (!("kind" in permissions)) return new AnonymousAuthenticator(permissions);
  const reason = permissions.message.replace(/^.*"authorization_details"/, '"anonymous"');
  const text = anonymous.length === 0 ? '"anonymous" is an empty list but must not be' : reason;
  problems.push({ key: "anonymous", text });
  return undefined;
}
