import type { StreamInput } from "../core/ports/source.ts";
import { readStreamInput } from "./address.ts";

/** The prefix of the stream of a key-value bucket (ADR-8). */
export const KV_PREFIX = "KV_";

/** Returns the pattern of a key-value bucket's subjects, one for each key. */
export function bucketSubject(bucket: string): string {
  return `$KV.${bucket}.>`;
}

/** Returns the streams of the key `streams`, each once, with all of its subjects. */
export function streamInputs(streams: readonly string[]): StreamInput[] {
  const inputs = new Map<string, string[]>();
  for (const { name, subject = wholeOf(name) } of streams.map(readStreamInput)) {
    const subjects = inputs.get(name) ?? [];
    if (!subjects.includes(subject)) subjects.push(subject);
    inputs.set(name, subjects);
  }
  return [...inputs].map(([name, subjects]) => ({ name, subjects }));
}

/** Returns the pattern of a whole stream. A bucket needs its own, as `>` doesn't match subjects that begin with `$`. */
function wholeOf(name: string): string {
  return name.startsWith(KV_PREFIX) ? bucketSubject(name.slice(KV_PREFIX.length)) : ">";
}
