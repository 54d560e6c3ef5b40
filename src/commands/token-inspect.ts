import { tokenParts } from "../access/jwt.ts";
import type { Config } from "../config/config.ts";
import { formatDuration } from "../config/duration.ts";
import { Grant, type SubjectPermission } from "../core/access/grant.ts";
import { createAccess } from "../gateway/create-access.ts";
import { PolledFiles } from "../gateway/polled-files.ts";
import { systemClock } from "../runtime/clock.ts";
import { EXIT, type Invocation } from "./command.ts";
import { JSON_FLAG } from "./command-flags.ts";
import { readConfig } from "./load-config.ts";
import { invalidCommand } from "./read-flags.ts";

/** The verdict on a token of a gateway with the configuration. */
type Verdict =
  | { readonly accepted: false; readonly kind: string; readonly reason: string }
  | {
      readonly accepted: true;
      readonly sub: string;
      readonly issuer: string;
      readonly account?: string | undefined;
      /** Subjects by action. */
      readonly may: Readonly<Record<string, SubjectPermission>>;
    };

/** Decodes the token on the standard input, and says whether a gateway with this configuration takes it. */
export async function inspectToken(invocation: Invocation): Promise<number> {
  const { config, texts } = await readConfig(invocation, [JSON_FLAG]);
  const token = (await invocation.readInput("Token (it is shown): ", "line")).trim();
  if (token === "") throw invalidCommand("Cannot inspect the token: standard input has none");
  const parts = tokenParts(token);
  const verdict = await judge(token, config);
  const asksMore = unaskedOf(config);
  if (texts.has(JSON_FLAG.name)) {
    invocation.write(`${JSON.stringify({ ...parts, ...verdict, not_asked: asksMore }, null, 2)}\n`);
  } else {
    const lines = [
      ...partLines(parts),
      ...verdictLines(verdict),
      ...asksMore.map((key) => `Not asked here: ${key}.`),
    ];
    invocation.write(`${lines.join("\n")}\n`);
  }
  return verdict.accepted ? EXIT.done : EXIT.failed;
}

async function judge(token: string, config: Config): Promise<Verdict> {
  const nothing = (): void => {};
  const files = new PolledFiles(systemClock);
  const access = await createAccess(
    { ...config, authorizerSubject: undefined },
    {
      ...{ deps: {}, clock: systemClock, files, requests: undefined },
      log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
      revocations: { isReady: true, isRevoked: () => false },
      publishSubjects: () => [],
    },
  );
  if (!access.isRequired) {
    return {
      accepted: false,
      kind: "unauthenticated",
      reason:
        "This configuration reads no tokens: all clients may connect. If the gateway has another one, name it with --config",
    };
  }
  const result = await access.admit({
    credentials: { kind: "token", token, place: "authorization" },
    ...{ address: "127.0.0.1", headers: new Headers() },
  });
  access.stop();
  if (!(result instanceof Grant)) {
    const { kind, message, detail } = result;
    return { accepted: false, kind, reason: detail ?? message };
  }
  const { principal, account, receives, publishes, requests, presence } = result.terms;
  return {
    ...{ accepted: true, ...principal, account },
    may: { receive: receives, publish: publishes, request: requests, "see presence": presence },
  };
}

/** Returns the keys that decide about a token too, and need a NATS. */
function unaskedOf({ authorizerSubject, revocationBucket, revocationSubject }: Config): string[] {
  const keys = {
    authorizer_subject: authorizerSubject,
    revocation_bucket: revocationBucket,
    revocation_subject: revocationSubject,
  };
  return Object.entries(keys).flatMap(([key, value]) => (value === undefined ? [] : [key]));
}

function partLines(parts: ReturnType<typeof tokenParts>): string[] {
  if (parts === undefined) return ["This is no JSON Web Token."];
  const { header, claims } = parts;
  const nowSeconds = Date.now() / 1000;
  const times = (["iat", "nbf", "exp"] as const).flatMap((name) => {
    const seconds = claims[name];
    if (typeof seconds !== "number") return [];
    const awayMs = Math.round(Math.abs(seconds - nowSeconds)) * 1000;
    const when =
      seconds >= nowSeconds ? `in ${formatDuration(awayMs)}` : `${formatDuration(awayMs)} ago`;
    const date = new Date(seconds * 1000);
    return Number.isNaN(date.getTime()) ? [] : [`${name}: ${date.toISOString()}, ${when}`];
  });
  return [
    `Header: ${JSON.stringify(header, null, 2)}`,
    `Claims: ${JSON.stringify(claims, null, 2)}`,
    ...times,
  ];
}

function verdictLines(verdict: Verdict): string[] {
  if (!verdict.accepted)
    return [`A gateway with this configuration refuses it (${verdict.kind}): ${verdict.reason}.`];
  const { sub, issuer, account, may } = verdict;
  const of = account === undefined ? "" : `, of the account ${account}`;
  const actions = Object.entries(may).map(([action, { allow, deny }]) => {
    const allowed = allow === "everything" ? "everything" : allow.join(", ") || "nothing";
    return `  may ${action}: ${allowed}${deny.length > 0 ? `, but not ${deny.join(", ")}` : ""}`;
  });
  return [
    `A gateway with this configuration takes it: "${sub}" of the issuer "${issuer}"${of}`,
    ...actions,
  ];
}
