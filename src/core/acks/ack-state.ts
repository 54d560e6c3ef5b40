/**
 * How a message in the window stands.
 *
 * - `"gone"`: acknowledged or given up; what is left is a hole.
 * - `"sent"`: to be acknowledged until it is due.
 * - `"late"`, `"refused"`: it was not, or was said to have failed; to be sent again when it is due.
 */
export const AckState = { gone: 0, sent: 1, late: 2, refused: 3 } as const;
