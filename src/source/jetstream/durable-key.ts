import type { DurableQuery } from "../../core/ports/source.ts";

/** Begins the names of our consumers: clients can't use others. */
export const CONSUMER_PREFIX = "spillway_";

/** 128 bits: nobody finds another owner with the same hash. */
const HASH_BYTES = 16;

/**
 * Returns what a durable is called among all durables of its stream: its name, and for a client with an identity
 * `<name>@<hash of the owner>`. No name of a client has an `@`, and the hash doesn't show who the owner is.
 */
export async function durableKey({ name, owner }: DurableQuery): Promise<string> {
  if (owner === "") return name;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(owner));
  const bytes = [...new Uint8Array(digest, 0, HASH_BYTES)];
  return `${name}@${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Returns the hash of the owner of a durable, by its key or the name of its consumer; `undefined` if it is anonymous. */
export function ownerOf(key: string): string | undefined {
  const at = key.lastIndexOf("@");
  return at < 0 ? undefined : key.slice(at + 1);
}
