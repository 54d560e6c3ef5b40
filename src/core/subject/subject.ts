/**
 * Subject syntax and matching, as nats-server itself does it
 * (https://docs.nats.io/nats-concepts/subjects): tokens parted by `.`, of which a whole `*` stands
 * for one token and a whole `>` at the end for one or more.
 */

// A control character or white space would end the subject in the NATS protocol's text lines.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSAFE = /[\u0000-\u0020\u007f]/;

const HALF_PAIR = /\p{Surrogate}/u;

/**
 * The longest subject, in bytes of UTF-8. nats-server ends a connection that sends a longer line than
 * its `max_control_line`, by default 4,096 bytes; 1 KiB of that is left for all else on the line: a
 * queue group, a reply subject, names of streams and consumers.
 */
export const MAX_SUBJECT_BYTES = 3072;
/** The most tokens of a subject. NATS advises against more than 16. */
export const MAX_TOKENS = 64;

/**
 * Why a text is no subject, or `undefined` when it is one.
 *
 * @param wildcards whether `*` and `>` may stand for tokens: yes to subscribe, no to publish.
 */
export function subjectFault(subject: string, wildcards: boolean): string | undefined {
  if (subject === "") return "must not be empty";
  if (subject.length > MAX_SUBJECT_BYTES || utf8Length(subject) > MAX_SUBJECT_BYTES) {
    return `must not be longer than ${MAX_SUBJECT_BYTES} bytes in UTF-8`;
  }
  if (UNSAFE.test(subject)) return "must not contain white space or control characters";
  // Half a surrogate pair has no UTF-8: NATS would get another subject.
  if (HALF_PAIR.test(subject)) return "must not contain half a surrogate pair";
  const tokens = subject.split(".");
  if (tokens.length > MAX_TOKENS) return `must not have more than ${MAX_TOKENS} tokens`;
  for (const [index, token] of tokens.entries()) {
    if (token === "") return "must not contain an empty token";
    if (token === ">" && index < tokens.length - 1) return 'may have ">" only as its last token';
    if (!wildcards && (token === ">" || token === "*")) return "must not contain a wildcard";
  }
  return undefined;
}

/** How many bytes a text has in UTF-8, counted without encoding it. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    // A surrogate pair, of two units, has four bytes.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2;
  }
  return bytes;
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

/** Whether some subject is matched by both patterns. */
export function subjectsIntersect(one: string, other: string): boolean {
  return tokensIntersect(one.split("."), other.split("."));
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
 * The patterns without those that another one covers, in their order: nobody needs both
 * `orders.>` and `orders.eu`.
 */
export function withoutCovered(patterns: readonly string[]): string[] {
  const split = patterns.map((pattern) => pattern.split("."));
  return patterns.filter((_, index) => {
    const tokens = split[index] as string[];
    return !split.some(
      (other, otherIndex) =>
        otherIndex !== index &&
        tokensCover(other, tokens) &&
        // Of two equal patterns the first stays.
        (otherIndex < index || !tokensCover(tokens, other)),
    );
  });
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

/** Whether something is carried of what is asked for. */
export function exposesSome(
  exposed: readonly string[],
  asked: readonly string[] | undefined,
): boolean {
  if (asked === undefined) return exposed.length > 0;
  return asked.some((subject) => exposed.some((pattern) => exposes(pattern, subject)));
}

/** The first of a client's patterns of which nothing is carried; `undefined` asks for whatever is. */
export function firstHidden(
  exposed: readonly string[],
  asked: readonly string[] | undefined,
): string | undefined {
  return asked?.find((subject) => !exposed.some((pattern) => exposes(pattern, subject)));
}
