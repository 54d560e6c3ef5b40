import { readFileSync } from "node:fs";
import { ROOT } from "./runtimes.ts";

/** One line of the user that docs/operations.md shows for NATS. */
export interface Permission {
  /** The part of the gateway that needs it. */
  readonly part: string;
  readonly action: "publish" | "subscribe";
  readonly subject: string;
}

/** The part of which most other parts need the permissions. */
export const ANSWERS = "answers";
const WITHOUT_ANSWERS = ["subjects", "revocation_subject", "dead_letter_subject"];

const PAGE = readFileSync(`${ROOT}docs/operations.md`, "utf8");

/** The user in nats-server's configuration, as the page shows it. */
export const [, SHOWN_USER = ""] =
  /^# nats\.conf\nauthorization \{\n {2}users: \[\n(.*?)^ {2}\]/ms.exec(PAGE) ?? [];

/** All of its permissions. */
export const PERMISSIONS: readonly Permission[] = permissionsIn(SHOWN_USER);

function permissionsIn(user: string): Permission[] {
  const found: Permission[] = [];
  let [part, action] = ["", ""];
  for (const line of user.split("\n")) {
    action = /^\s*(publish|subscribe): \[/.exec(line)?.[1] ?? action;
    part = /^\s*# ([^,]+)/.exec(line)?.[1] ?? part;
    const subject = /^\s*"(.+)"$/.exec(line)?.[1];
    if (subject !== undefined) found.push({ part, action, subject } as Permission);
  }
  return found;
}

/** Returns the permissions that a part needs. */
export function permissionsOf(part: string): Permission[] {
  const parts = [part];
  if (part === "durables") parts.push("streams");
  if (!WITHOUT_ANSWERS.includes(part)) parts.push(ANSWERS);
  return PERMISSIONS.filter((one) => parts.includes(one.part));
}

/** Returns permissions as nats-server's configuration has them. */
export function asConfig(permissions: readonly Permission[]) {
  const subjectsOf = (action: string) =>
    permissions.filter((one) => one.action === action).map(({ subject }) => subject);
  // An empty list would allow everything.
  const nothing = ["nothing"];
  return {
    publish: [...subjectsOf("publish"), ...nothing],
    subscribe: [...subjectsOf("subscribe"), ...nothing],
  };
}
