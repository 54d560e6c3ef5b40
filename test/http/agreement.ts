/** The core knows no zod, so that its types and the schemas agree is for the compiler to check. */
import type { z } from "zod";
import type { ClientFrame, V1Frame } from "../../src/core/wire/client-frame.ts";
import type { Payload } from "../../src/core/wire/payload.ts";
import type { ServerFrame } from "../../src/core/wire/server-frame.ts";
import type { plainClientFrame, v1ClientFrame } from "../../src/http/protocol/client-frames.ts";
import type { dataFrame } from "../../src/http/protocol/data-frame.ts";
import type { serverFrame } from "../../src/http/protocol/server-frames.ts";

/** A type with `readonly` everywhere, which schemas don't say. */
type Frozen<T> = T extends object ? { readonly [Key in keyof T]: Frozen<T[Key]> } : T;

/** Whether two types are the same, optional fields included; of unions, each member is in the other. */
type Same<A, B> = [Each<A, B>, Each<B, A>] extends [true, true] ? true : false;
type Each<A, B> = (A extends unknown ? Among<A, B> : never) extends true ? true : false;
/** Whether a member of one union is among those of another. */
type Among<A, B> = true extends (B extends unknown ? Identical<A, B> : never) ? true : false;
type Identical<A, B> =
  (<T>() => T extends Frozen<A> ? 1 : 2) extends <T>() => T extends Frozen<B> ? 1 : 2
    ? true
    : false;

type Holds<T extends true> = T;

/** Does not compile where a schema and the core differ. */
export type Agreement = [
  Holds<Same<z.output<typeof serverFrame>, ServerFrame>>,
  Holds<Same<TypesApart<z.output<typeof v1ClientFrame>>, TypesApart<ClientFrame>>>,
  Holds<
    Same<TypesApart<z.output<typeof plainClientFrame>>, TypesApart<Exclude<ClientFrame, V1Frame>>>
  >,
  Holds<
    Same<NonNullable<z.output<typeof dataFrame>["encoding"]>, Exclude<Payload["encoding"], "">>
  >,
];

/** Members of a union that have several types, as so many members; what is absent is undefined. */
type TypesApart<T> = T extends { readonly type: infer Type }
  ? Type extends unknown
    ? Whole<Omit<T, "type"> & { type: Type }>
    : never
  : never;
/** A type without optional fields: to the core, absent and undefined are the same. */
type Whole<T> = {
  [Key in keyof T]-?: Record<never, never> extends Pick<T, Key> ? T[Key] | undefined : T[Key];
};
