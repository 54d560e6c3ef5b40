/**
 * Subject syntax and matching, as nats-server itself does it
 * (https://docs.nats.io/nats-concepts/subjects): tokens parted by `.`, of which a whole `*` stands
 * for one token and a whole `>` at the end for one or more.
 */

// A control character or white space would end the subject in the NATS protocol's text lines.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSAFE = /[\u0000-\u0020\u007f]/;

/** nats-server takes no protocol line that is longer (its `max_control_line`, by default). */
const MAX_LENGTH = 4096;

/**
 * Why a text is no subject, or `undefined` when it is one.
 *
 * @param wildcards whether `*` and `>` may stand for tokens: yes to subscribe, no to publish.
 */
export function subjectFault(subject: string, wildcards: boolean): string | undefined {
  if (subject === "") return "must not be empty";
  if (subject.length > MAX_LENGTH) return `must not be longer than ${MAX_LENGTH} characters`;
  if (UNSAFE.test(subject)) return "must not contain white space or control characters";
  const tokens = subject.split(".");
  for (const [index, token] of tokens.entries()) {
    if (token === "") return "must not contain an empty token";
    if (token === ">" && index < tokens.length - 1) return 'may have ">" only as its last token';
    if (!wildcards && (token === ">" || token === "*")) return "must not contain a wildcard";
  }
  return undefined;
}

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

/** Whether every subject that `inner` matches is matched by `outer` too. */
export function subjectCovers(outer: string, inner: string): boolean {
  const outerTokens = outer.split(".");
  const innerTokens = inner.split(".");
  for (const [index, token] of outerTokens.entries()) {
    if (token === ">") return innerTokens.length > index;
    const other = innerTokens[index];
    if (other === undefined || other === ">") return false;
    if (token !== "*" && token !== other) return false;
  }
  return outerTokens.length === innerTokens.length;
}

/** Whether some subject is matched by both patterns. */
export function subjectsIntersect(one: string, other: string): boolean {
  const tokens = one.split(".");
  const otherTokens = other.split(".");
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
 * The patterns without those that another one covers, in their order: nobody needs both
 * `orders.>` and `orders.eu`.
 */
export function withoutCovered(patterns: readonly string[]): string[] {
  return patterns.filter(
    (pattern, index) =>
      !patterns.some(
        (other, otherIndex) =>
          otherIndex !== index &&
          subjectCovers(other, pattern) &&
          // Of two equal patterns the first stays.
          (otherIndex < index || !subjectCovers(pattern, other)),
      ),
  );
}

/**
 * Whether a subject belongs to NATS itself (`$SYS`, `$JS`, `_INBOX` …): such subjects are carried
 * only where a pattern names their first token, never because a wildcard covers it. Without this
 * rule, the default `>` would show one client's request replies to all others.
 */
export function isReserved(subject: string): boolean {
  return subject.startsWith("$") || subject.startsWith("_");
}

/** Whether a subject is carried for a pattern: it matches, and no wildcard stands for NATS itself. */
export function carries(pattern: string, subject: string): boolean {
  return subjectMatches(pattern, subject) && (isReserved(pattern) || !isReserved(subject));
}

/** Whether all that is carried for `inner` is carried for `outer` too. */
export function carriesAll(outer: string, inner: string): boolean {
  return subjectCovers(outer, inner) && (isReserved(outer) || !isReserved(inner));
}

/** Whether some of what a client's pattern asks for is carried for a pattern of the configuration. */
export function exposes(pattern: string, asked: string): boolean {
  return subjectsIntersect(pattern, asked) && (isReserved(pattern) || !isReserved(asked));
}

/** The pattern of what both patterns match, or `undefined` when no subject is matched by both. */
export function subjectIntersection(one: string, other: string): string | undefined {
  if (!subjectsIntersect(one, other)) return undefined;
  const tokens = one.split(".");
  const otherTokens = other.split(".");
  const shared: string[] = [];
  for (let index = 0; index < Math.max(tokens.length, otherTokens.length); index++) {
    const token = tokens[index];
    const otherToken = otherTokens[index];
    // Behind ">", which is the last of its pattern, the rest is the other's.
    if (token === undefined || token === ">")
      return [...shared, ...otherTokens.slice(index)].join(".");
    if (otherToken === undefined || otherToken === ">") {
      return [...shared, ...tokens.slice(index)].join(".");
    }
    shared.push(token === "*" ? otherToken : token);
  }
  return shared.join(".");
}

/** The patterns of what is carried of what is asked for; `undefined` asks for whatever is. */
export function exposedOf(
  exposed: readonly string[],
  asked: readonly string[] | undefined,
): string[] {
  if (asked === undefined) return [...exposed];
  const patterns = exposed.flatMap((pattern) =>
    asked
      .filter((subject) => exposes(pattern, subject))
      .flatMap((subject) => subjectIntersection(pattern, subject) ?? []),
  );
  return [...new Set(patterns)];
}

/** The first of a client's patterns of which nothing is carried; `undefined` asks for whatever is. */
export function firstHidden(
  exposed: readonly string[],
  asked: readonly string[] | undefined,
): string | undefined {
  return asked?.find((subject) => !exposed.some((pattern) => exposes(pattern, subject)));
}
