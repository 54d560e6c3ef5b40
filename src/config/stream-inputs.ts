import type { StreamInput } from "../core/ports/source.ts";
import { readStreamInput } from "./address.ts";

/** What nats-server calls the stream of a key-value bucket (ADR-8). */
export const KV_PREFIX = "KV_";

/** The subjects of a key-value bucket: one for each key. */
function bucketSubject(bucket: string): string {
  return `$KV.${bucket}.>`;
}

/** The streams of the key `streams`, each once, with all of its subjects. */
export function streamInputs(streams: readonly string[]): StreamInput[] {
  const inputs = new Map<string, string[]>();
  for (const { name, subject = wholeOf(name) } of streams.map(readStreamInput)) {
    const subjects = inputs.get(name) ?? [];
    if (!subjects.includes(subject)) subjects.push(subject);
    inputs.set(name, subjects);
  }
  return [...inputs].map(([name, subjects]) => ({ name, subjects }));
}

/** All that a stream has; the keys of a bucket are NATS' own subjects, which no wildcard stands for. */
function wholeOf(name: string): string {
  return name.startsWith(KV_PREFIX) ? bucketSubject(name.slice(KV_PREFIX.length)) : ">";
}
