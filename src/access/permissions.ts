import type { StartKind, SubjectPermission } from "../core/access/grant.ts";
import type { Policy } from "../protocol/fields.ts";

/** What claims say that a client may do. What they leave out is as configured. */
export interface Permissions {
  readonly receives: SubjectPermission;
  readonly publishes: SubjectPermission;
  readonly requests: SubjectPermission;
  readonly policies?: readonly Policy[] | undefined;
  /** Messages per second of each subject in a subscription. */
  readonly maxRate?: number | undefined;
  readonly maxSubscriptions?: number | undefined;
  readonly starts?: readonly StartKind[] | undefined;
  /** Names of durables; a `*` stands for any characters. Default: none. */
  readonly durables?: readonly string[] | undefined;
}
