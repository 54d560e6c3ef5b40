import { Access, type AccessOptions, type RevocationCheck } from "../access/access.ts";
import { AnonymousAuthenticator } from "../access/anonymous.ts";
import type { Authenticator } from "../access/authenticator.ts";
import { readPermissions } from "../access/authorization-details.ts";
import { readClaims } from "../access/claims.ts";
import { HookAuthenticator } from "../access/hook.ts";
import { JwtAuthenticator } from "../access/jwt.ts";
import { NatsServiceAuthenticator, type ServiceRequests } from "../access/nats-service.ts";
import type { Config } from "../config/config.ts";
import { configError, type Problem } from "../config/problem.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Selection } from "../core/subject/subject.ts";
import { credentialFileProblems, openCredentialFiles } from "./credential-files.ts";
import type { GatewayDeps } from "./deps.ts";
import type { PolledFiles } from "./polled-files.ts";

/** Who vouches for the names of clients, where their claims don't say it. */
const HOST_ISSUER = "host";

interface AuthenticatorParts {
  readonly deps: Pick<GatewayDeps, "authorize">;
  readonly clock: Clock;
  readonly log: Log;
  /** Sends requests to NATS; `undefined` if the source is another one. */
  readonly requests: ServiceRequests | undefined;
  readonly files: PolledFiles;
}

interface AccessParts extends AuthenticatorParts {
  readonly revocations: RevocationCheck;
  /** Returns what clients may publish to that need no token. */
  publishSubjects(): Selection;
}

/** Returns the subjects that clients may have: those of core NATS and those of streams. */
export function exposedSubjects(config: Config): string[] {
  return [...config.subjects, ...streamInputs(config.streams).flatMap(({ subjects }) => subjects)];
}

/** The settings of which each authenticator is made, in the order in which they are asked. */
const MADE_OF = {
  hook: ["authorizerTimeoutMs"],
  tokens: ["tokensFile"],
  passwords: ["passwordsFile"],
  jwt: ["issuers", "clockToleranceMs", "maxTokenAgeMs"],
  service: ["authorizerSubject", "authorizerTimeoutMs"],
  anonymous: ["anonymous"],
} as const satisfies Readonly<Record<string, readonly (keyof Config)[]>>;

type AuthenticatorName = keyof typeof MADE_OF;

/**
 * Makes what decides who is let in. Authenticators are asked in this order: the hook, the files, the issuers, the
 * service, and last what anonymous clients may do.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be used.
 */
export async function createAccess(config: Config, parts: AccessParts): Promise<Access> {
  const authenticators = await openAuthenticators(config, parts);
  const options = accessOptions(config, parts.publishSubjects());
  return new Access(options, authenticators, parts.clock, parts.revocations);
}

/** Returns the settings of `Access`, which don't change with the configuration. */
export function accessOptions(config: Config, publishSubjects: Selection): AccessOptions {
  return { ...config, publishSubjects, subjects: exposedSubjects(config) };
}

/**
 * Makes the authenticators of a configuration. It begins nothing.
 *
 * @param before those of another configuration: the ones that would be made of the same settings stay.
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be used.
 */
export async function openAuthenticators(
  config: Config,
  parts: AuthenticatorParts,
  before?: { readonly config: Config; readonly authenticators: readonly Authenticator[] },
): Promise<readonly Authenticator[]> {
  const kept = (name: AuthenticatorName): Authenticator | undefined => {
    const isSame = (key: keyof Config): boolean =>
      JSON.stringify(before?.config[key]) === JSON.stringify(config[key]);
    if (before === undefined || !MADE_OF[name].every(isSame)) return undefined;
    return before.authenticators.find((one) => one.name === name);
  };
  const former = before?.authenticators.find((one) => one instanceof JwtAuthenticator);
  const { tokensFile, passwordsFile, issuers } = config;
  const files = await openCredentialFiles(
    {
      ...config,
      tokensFile: kept("tokens") === undefined ? tokensFile : undefined,
      passwordsFile: kept("passwords") === undefined ? passwordsFile : undefined,
      issuers: kept("jwt") === undefined ? issuers : undefined,
    },
    { ...parts, file: (path) => parts.files.file(path), before: former },
  );
  const problems = [...files.problems];
  const authenticators = [
    kept("hook") ?? hookOf(config, parts),
    kept("tokens") ?? files.tokens,
    kept("passwords") ?? files.passwords,
    kept("jwt") ?? files.issuers,
    kept("service") ?? serviceOf(config, parts, problems),
    kept("anonymous") ?? anonymousOf(config, problems),
  ].filter((authenticator) => authenticator !== undefined);
  if (problems.length > 0) throw configError(problems);
  return authenticators;
}

/** Returns what is wrong with the keys of who may connect, and with the files that they name. */
export async function accessProblems(
  config: Config,
  clock: Clock,
  readText: (path: string) => Promise<string>,
): Promise<readonly Problem[]> {
  const problems = [...(await credentialFileProblems(config, clock, readText))];
  anonymousOf(config, problems);
  return problems;
}

function hookOf(
  config: Config,
  { deps, clock, log }: AuthenticatorParts,
): Authenticator | undefined {
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
  { clock, log, requests }: AuthenticatorParts,
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
  const isEmpty = anonymous.length === 0;
  const text = isEmpty
    ? '"anonymous" is an empty list but must not be'
    : `"anonymous" ${permissions.fault}`;
  problems.push({ key: "anonymous", text });
  return undefined;
}
