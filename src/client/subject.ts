/** Whether there are subjects that both patterns (`*` stands for one token, `>` at the end for one or more) match. */
export function intersects(one: string, other: string): boolean {
  if (one === other) return true;
  const a = one.split(".");
  const b = other.split(".");
  for (let at = 0; at < a.length && at < b.length; at++) {
    const [x, y] = [a[at], b[at]];
    if (x === ">" || y === ">") return true;
    if (x !== y && x !== "*" && y !== "*") return false;
  }
  return a.length === b.length;
}

/** Whether a subject has no wildcards. */
export function isLiteral(subject: string): boolean {
  return !/(^|\.)[*>](\.|$)/.test(subject);
}
