import { START_KINDS, type StartKind, type SubjectPermission } from "../core/access/grant.ts";
import { POLICIES, type Policy } from "../protocol/fields.ts";

/** The actions that claims allow for their subjects. */
export const ACTIONS = ["subscribe", "publish", "request", "presence"] as const;
export type Action = (typeof ACTIONS)[number];

/** The limits of a client beside its subjects. The configuration may limit it further. */
export interface Limits {
  /** The policies that the client may ask for. */
  readonly policies: readonly Policy[];
  /** Messages per second of each subject in a subscription; `Infinity`: no limit. */
  readonly maxRate: number;
  /** Subscriptions at a time; `Infinity`: no limit. */
  readonly maxSubscriptions: number;
  readonly starts: readonly StartKind[];
  /** Names of durables; a `*` stands for any characters. */
  readonly durables: readonly string[];
}

/** The permissions that claims give to a client. */
export interface Permissions extends Limits {
  /** The name of the account of NATS that they are for; `undefined`: the default one. */
  readonly account: string | undefined;
  readonly receives: SubjectPermission;
  readonly publishes: SubjectPermission;
  readonly requests: SubjectPermission;
  readonly presence: SubjectPermission;
}

/** The limits of claims that name none: no durables, and everything else. */
export const DEFAULT_LIMITS: Limits = {
  policies: POLICIES,
  maxRate: Number.POSITIVE_INFINITY,
  maxSubscriptions: Number.POSITIVE_INFINITY,
  starts: START_KINDS,
  durables: [],
};
