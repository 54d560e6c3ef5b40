/**
 * The state of a message in an {@linkcode AckWindow}.
 *
 * - `gone`: acknowledged or given up; its place is a hole.
 * - `sent`: the client has until the message is due to acknowledge it.
 * - `late`: the client didn't; the message is sent again when it is due.
 * - `refused`: the client couldn't process it; the message is sent again when it is due.
 */
export const AckState = { gone: 0, sent: 1, late: 2, refused: 3 } as const;
