/**
 * Reads JSON (RFC 8259) in which no object has a key twice: of two values, parsers take either.
 * What is wrong with a text is told by its place alone: the messages of the runtimes' own parsers
 * repeat pieces of it, and it may hold passwords.
 */
export function parseJson(text: string): { value: unknown } | { fault: string } {
  const source = text.replace(/^\uFEFF/, "");
  const place = (offset: number): string => {
    const before = source.slice(0, offset).split("\n");
    return `at line ${before.length}, column ${(before.at(-1) ?? "").length + 1}`;
  };
  const { end, repeated, tooDeep } = scan(source);
  if (tooDeep) return { fault: `it is nested more than ${MOST_DEPTH} deep ${place(end)}` };
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch {
    return { fault: `it is not JSON ${place(end)}` };
  }
  if (repeated === undefined) return { value };
  return { fault: `it has the key ${repeated.key} a second time ${place(repeated.at)}` };
}

const SPACE = /[ \t\r\n]*/y;
// Without a choice for each character, which would have to be remembered for the way back.
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON allows none of them in a string
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\u0000-\u001f]*)*"/y;
/** No configuration is nested deeper, and no runtime's stack is at its end. */
const MOST_DEPTH = 100;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

interface Scan {
  /** So many characters may begin a JSON text: the next one is wrong, or missing. */
  readonly end: number;
  /** The first key that its object had already, as it is written, and where it stands. */
  readonly repeated: { readonly key: string; readonly at: number } | undefined;
  readonly tooDeep: boolean;
}

function scan(text: string): Scan {
  let at = 0;
  let depth = 0;
  let tooDeep = false;
  let repeated: Scan["repeated"];
  const takes = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const taken = pattern.exec(text)?.[0];
    at += taken?.length ?? 0;
    return taken !== undefined;
  };
  const takesSign = (sign: string): boolean => {
    takes(SPACE);
    if (text[at] !== sign) return false;
    at++;
    return true;
  };
  const takesItems = (end: string, takesItem: () => boolean): boolean => {
    if (takesSign(end)) return true;
    do {
      if (!takesItem()) return false;
    } while (takesSign(","));
    return takesSign(end);
  };
  const takesMember = (keys: Set<string>): boolean => {
    takes(SPACE);
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
  takes(SPACE);
  return { end: at, repeated, tooDeep };
}
