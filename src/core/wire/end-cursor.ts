import { Envelope, type Position } from "./envelope.ts";

/** Stands between an id and the mark of the subject that the message has ended. No id contains it after its last colon. */
const END = "~";

/**
 * Returns the cursor of a client that knows that a subject has ended. A client that waits only for this subject, and
 * resumes with this cursor, gets nothing more; any other client resumes after the message with the id in it.
 */
export function endCursorOf({ id, subject }: Pick<Envelope, "id" | "subject">): string {
  return `${id}${END}${markOf(subject)}`;
}

/** See {@linkcode endCursorOf}; `undefined` if a position isn't a message that ended its subject. */
export function endCursorAt(position: Position | undefined): string | undefined {
  return position instanceof Envelope && position.ends ? endCursorOf(position) : undefined;
}

/** Returns the id in a cursor, without the mark of a subject that has ended. */
export function idIn(cursor: string): string {
  const at = cursor.lastIndexOf(END);
  return at > cursor.lastIndexOf(":") ? cursor.slice(0, at) : cursor;
}

/** Whether a cursor says that its client knows that a subject has ended. */
export function saysEndOf(subject: string, cursor: string): boolean {
  return cursor === endCursorOf({ id: idIn(cursor), subject });
}

/** FNV-1a over UTF-16 code units, in base 36. It tells the subjects of one client apart, and is no secret. */
function markOf(subject: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < subject.length; at++) {
    hash = Math.imul(hash ^ subject.charCodeAt(at), 0x01000193);
  }
  return (hash >>> 0).toString(36);
}
