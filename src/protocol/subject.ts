/**
 * The syntax of subjects, as nats-server has it (https://docs.nats.io/nats-concepts/subjects): tokens
 * separated by `.`, of which a whole `*` stands for one token and a whole `>` at the end for one or more.
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
 * Returns what is wrong with a subject, or `undefined` if it is valid.
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

/** Counts the bytes of a text in UTF-8 without encoding it. */
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
