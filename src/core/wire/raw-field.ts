const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const CLOSERS = "]}";
const OPENERS = "[{";
const SPACE = " \t\r\n";

/**
 * Returns the text of a field's value as it is written in an object, without the space around it: of the last one, if
 * the name occurs several times, as `JSON.parse` does.
 *
 * @param json a JSON text that `JSON.parse` has read as an object.
 */
export function rawField(json: string, name: string): string | undefined {
  let found: string | undefined;
  let at = json.indexOf("{") + 1;
  for (;;) {
    at = skipSpace(json, at);
    if (json.charCodeAt(at) !== QUOTE) return found;
    const keyEnd = skipString(json, at);
    const key = json.slice(at, keyEnd);
    at = skipSpace(json, keyEnd);
    if (json.charCodeAt(at) !== COLON) return found;
    const from = skipSpace(json, at + 1);
    const to = skipValue(json, from);
    if (isName(key, name)) found = json.slice(from, to);
    at = skipSpace(json, to);
    if (json.charCodeAt(at) !== COMMA) return found;
    at++;
  }
}

/** Whether a key, with its quotes, is this name. */
function isName(key: string, name: string): boolean {
  return key.includes("\\") ? JSON.parse(key) === name : key === `"${name}"`;
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (at < json.length && SPACE.includes(json[at] as string)) at++;
  return at;
}

/** @returns the place after the closing quote. */
function skipString(json: string, from: number): number {
  let at = from + 1;
  while (at < json.length && json.charCodeAt(at) !== QUOTE) {
    at += json.charCodeAt(at) === BACKSLASH ? 2 : 1;
  }
  return at + 1;
}

/** @returns the place after a value. */
function skipValue(json: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < json.length) {
    const char = json[at] as string;
    if (char === '"') {
      at = skipString(json, at);
      if (depth === 0) return at;
      continue;
    }
    if (OPENERS.includes(char)) depth++;
    else if (CLOSERS.includes(char)) {
      // The end of the object, after a number or a literal name.
      if (depth === 0) return at;
      if (--depth === 0) return at + 1;
    } else if (depth === 0 && (char === "," || SPACE.includes(char))) return at;
    at++;
  }
  return at;
}
