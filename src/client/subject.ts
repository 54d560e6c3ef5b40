/** Whether a pattern (`*` stands for one token, `>` at the end for one or more) matches a subject. */
export function matches(pattern: string, subject: string): boolean {
  if (pattern === subject || pattern === ">") return true;
  return intersects(pattern, subject);
}

/** Whether there are subjects that both patterns match. */
export function intersects(one: string, other: string): boolean {
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
