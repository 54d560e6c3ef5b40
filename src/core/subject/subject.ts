/** Matching, covering and intersecting patterns, as nats-server does it. */

/** The subjects that somebody wants: everything that the gateway exposes, or what these patterns match of it. */
export type Selection = "everything" | readonly string[];

/** Whether a pattern stands for more than one subject. */
export function hasWildcard(pattern: string): boolean {
  return /(?:^|\.)[*>](?:\.|$)/.test(pattern);
}

/** Whether a pattern (that may have wildcards) matches a subject (that has none). */
export function subjectMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  for (const [index, token] of wanted.entries()) {
    if (token === ">") return tokens.length > index;
    if (index >= tokens.length) return false;
    if (token !== "*" && token !== tokens[index]) return false;
  }
  return wanted.length === tokens.length;
}

/** Whether `outer` matches every subject that `inner` matches. */
export function subjectCovers(outer: string, inner: string): boolean {
  return tokensCover(outer.split("."), inner.split("."));
}

function tokensCover(outerTokens: readonly string[], innerTokens: readonly string[]): boolean {
  for (const [index, token] of outerTokens.entries()) {
    if (token === ">") return innerTokens.length > index;
    const other = innerTokens[index];
    if (other === undefined || other === ">") return false;
    if (token !== "*" && token !== other) return false;
  }
  return outerTokens.length === innerTokens.length;
}

/** Whether both patterns match some subject. */
export function subjectsIntersect(one: string, other: string): boolean {
  return tokensIntersect(one.split("."), other.split("."));
}

/** Returns the patterns that match some subject that one of the others matches, too. */
export function intersectingOf(patterns: readonly string[], others: readonly string[]): string[] {
  const split = others.map((other) => other.split("."));
  return patterns.filter((pattern) => {
    const tokens = pattern.split(".");
    return split.some((other) => tokensIntersect(tokens, other));
  });
}

function tokensIntersect(tokens: readonly string[], otherTokens: readonly string[]): boolean {
  const shared = Math.min(tokens.length, otherTokens.length);
  for (let index = 0; index < shared; index++) {
    const token = tokens[index];
    const otherToken = otherTokens[index];
    if (token === ">" || otherToken === ">") return true;
    if (token !== "*" && otherToken !== "*" && token !== otherToken) return false;
  }
  return tokens.length === otherTokens.length;
}

/**
 * Whether a subject belongs to NATS itself (`$SYS`, `$JS`, `_INBOX` …). A pattern carries such a subject only if
 * it names the first token; a wildcard does not stand for it. Without this rule, the default `>` would show
 * the replies to one client's requests to all others.
 */
export function isReserved(subject: string): boolean {
  return subject.startsWith("$") || subject.startsWith("_");
}

/** Whether a pattern carries a subject: it matches, and no wildcard stands for a subject of NATS itself. */
export function carries(pattern: string, subject: string): boolean {
  return subjectMatches(pattern, subject) && (isReserved(pattern) || !isReserved(subject));
}

/** Whether `outer` carries every subject that `inner` carries. */
export function carriesAll(outer: string, inner: string): boolean {
  return subjectCovers(outer, inner) && (isReserved(outer) || !isReserved(inner));
}

/** Whether a pattern of the configuration carries some subject that a client's pattern asks for. */
export function exposes(pattern: string, asked: string): boolean {
  return subjectsIntersect(pattern, asked) && (isReserved(pattern) || !isReserved(asked));
}

/** Returns the pattern of the subjects that both patterns match; `undefined` if there are none. */
export function subjectIntersection(one: string, other: string): string | undefined {
  if (!subjectsIntersect(one, other)) return undefined;
  const tokens = one.split(".");
  const otherTokens = other.split(".");
  const shared: string[] = [];
  for (let index = 0; index < Math.max(tokens.length, otherTokens.length); index++) {
    const token = tokens[index];
    const otherToken = otherTokens[index];
    // After the last token of a pattern, `>`, the rest is the other pattern's.
    if (token === undefined || token === ">")
      return [...shared, ...otherTokens.slice(index)].join(".");
    if (otherToken === undefined || otherToken === ">") {
      return [...shared, ...tokens.slice(index)].join(".");
    }
    shared.push(token === "*" ? otherToken : token);
  }
  return shared.join(".");
}

/** Returns the patterns of what is both exposed and asked for. */
export function exposedOf(exposed: readonly string[], asked: Selection): string[] {
  if (asked === "everything") return [...exposed];
  const split = asked.map((subject) => subject.split("."));
  const patterns = new Set<string>();
  for (const pattern of exposed) {
    const tokens = pattern.split(".");
    for (const [index, subject] of asked.entries()) {
      if (!isReserved(pattern) && isReserved(subject)) continue;
      if (!tokensIntersect(tokens, split[index] as string[])) continue;
      const both = subjectIntersection(pattern, subject);
      if (both !== undefined) patterns.add(both);
    }
  }
  return [...patterns];
}

/**
 * Returns the patterns of what is both exposed and allowed by a grant. A wildcard that is allowed doesn't stand for a
 * subject of NATS itself, even if that is exposed.
 */
export function grantedOf(exposed: readonly string[], allowed: readonly string[]): string[] {
  return [false, true].flatMap((reserved) =>
    exposedOf(
      exposed.filter((pattern) => !reserved || isReserved(pattern)),
      allowed.filter((pattern) => isReserved(pattern) === reserved),
    ).filter((pattern) => isReserved(pattern) === reserved),
  );
}

/** Whether something that is asked for is exposed. */
export function exposesSome(exposed: readonly string[], asked: Selection): boolean {
  if (asked === "everything") return exposed.length > 0;
  return asked.some((subject) => exposed.some((pattern) => exposes(pattern, subject)));
}
