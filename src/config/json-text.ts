/**
 * Reads JSON (RFC 8259) in which no object has a key twice: of two values, parsers take either. As in
 * JSONC, there may be comments and a comma behind the last item of an object or a list.
 * What is wrong with a text is told by its place alone: the messages of the runtimes' own parsers
 * repeat pieces of it, and it may hold passwords.
 */
export function parseJson(text: string): { value: unknown } | { fault: string } {
  const source = text.replace(/^\uFEFF/, "");
  const place = (offset: number): string => {
    const before = source.slice(0, offset).split("\n");
    return `at line ${before.length}, column ${(before.at(-1) ?? "").length + 1}`;
  };
  const { end, repeated, tooDeep, extras } = scan(source);
  if (source.trim() === "") return { fault: "it is empty" };
  if (tooDeep) return { fault: `it is nested more than ${MOST_DEPTH} deep ${place(end)}` };
  let value: unknown;
  try {
    value = JSON.parse(without(source, extras));
  } catch {
    return { fault: `it is not JSON ${place(end)}` };
  }
  if (repeated === undefined) return { value };
  return { fault: `it has the key ${repeated.key} a second time ${place(repeated.at)}` };
}

/** A text with blanks in place of some of its spans, which no other character moves for. */
function without(text: string, spans: readonly Span[]): string {
  let kept = "";
  let from = 0;
  for (const { at, end } of spans) {
    kept += text.slice(from, at).padEnd(end - from);
    from = end;
  }
  return kept + text.slice(from);
}

const SPACE = /[ \t\r\n]*/y;
const COMMENT = /\/\/[^\r\n]*|\/\*[^*]*\*+(?:[^/*][^*]*\*+)*\//y;
// Without a choice for each character, which would have to be remembered for the way back.
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON allows none of them in a string
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\u0000-\u001f]*)*"/y;
/** No configuration is nested deeper, and no runtime's stack is at its end. */
const MOST_DEPTH = 100;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

interface Span {
  readonly at: number;
  readonly end: number;
}

interface Scan {
  /** So many characters may begin a JSON text: the next one is wrong, or missing. */
  readonly end: number;
  /** The first key that its object had already, as it is written, and where it stands. */
  readonly repeated: { readonly key: string; readonly at: number } | undefined;
  readonly tooDeep: boolean;
  /** Comments, and commas behind the last item, which JSON itself does not have. */
  readonly extras: readonly Span[];
}

function scan(text: string): Scan {
  let at = 0;
  let depth = 0;
  let tooDeep = false;
  let repeated: Scan["repeated"];
  const extras: Span[] = [];
  const takes = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const taken = pattern.exec(text)?.[0];
    at += taken?.length ?? 0;
    return taken !== undefined;
  };
  const skipSpace = (): void => {
    takes(SPACE);
    for (let start = at; takes(COMMENT); start = at) {
      extras.push({ at: start, end: at });
      takes(SPACE);
    }
  };
  const takesSign = (sign: string): boolean => {
    skipSpace();
    if (text[at] !== sign) return false;
    at++;
    return true;
  };
  const takesItems = (end: string, takesItem: () => boolean): boolean => {
    if (takesSign(end)) return true;
    while (takesItem()) {
      if (!takesSign(",")) return takesSign(end);
      const comma = { at: at - 1, end: at };
      // A comment may follow the comma, and spans stand in the order of the text.
      const index = extras.length;
      if (takesSign(end)) {
        extras.splice(index, 0, comma);
        return true;
      }
    }
    return false;
  };
  const takesMember = (keys: Set<string>): boolean => {
    skipSpace();
    const start = at;
    if (!takes(STRING)) return false;
    const key = text.slice(start, at);
    const name: string = JSON.parse(key);
    if (keys.has(name)) repeated ??= { key, at: start };
    keys.add(name);
    return takesSign(":") && takesValue();
  };
  const takesObject = (): boolean => {
    const keys = new Set<string>();
    return takesItems("}", () => takesMember(keys));
  };
  const nested = (takes: () => boolean): boolean => {
    if (depth === MOST_DEPTH) tooDeep = true;
    if (tooDeep) return false;
    depth++;
    const taken = takes();
    depth--;
    return taken;
  };
  const takesValue = (): boolean => {
    if (takesSign("{")) return nested(takesObject);
    if (takesSign("[")) return nested(() => takesItems("]", takesValue));
    return takes(STRING) || takes(SCALAR);
  };
  takesValue();
  skipSpace();
  return { end: at, repeated, tooDeep, extras };
}
