import {
  type AnyNode,
  type DocumentNode,
  parse,
  type Token,
  tokenize,
  type ValueNode,
} from "@humanwhocodes/momoa";

/** Deep enough for any configuration, and shallow enough for the stack of a recursive parser. */
const MAX_DEPTH = 100;
const JSONC = { mode: "jsonc", allowTrailingCommas: true } as const;

interface Place {
  readonly line: number;
  readonly column: number;
}

/** A text that is not accepted, and where. */
class JsonFault extends Error {
  constructor(fault: string, { line, column }: Place) {
    super(`${fault} at line ${line}, column ${column}`);
  }
}

/**
 * Reads JSON (RFC 8259) that may have comments and trailing commas, as JSONC has.
 *
 * An object with the same key twice is refused, because parsers disagree about which value counts.
 * Faults name a place and never quote the text, which may hold passwords; a parser's own messages quote it.
 */
export function parseJson(text: string): { value: unknown } | { fault: string } {
  const source = text.replace(/^\uFEFF/, "");
  if (source.trim() === "") return { fault: "it is empty" };
  try {
    expectShallow(tokenize(source, JSONC));
    return { value: jsonValue(parse(source, JSONC)) };
  } catch (thrown) {
    if (thrown instanceof JsonFault) return { fault: thrown.message };
    return { fault: new JsonFault("it is not JSON", placeOf(thrown)).message };
  }
}

/** @throws JsonFault where it is nested too deep. */
function expectShallow(tokens: readonly Token[]): void {
  let depth = 0;
  for (const { type, loc } of tokens) {
    if (type === "LBrace" || type === "LBracket") depth++;
    else if (type === "RBrace" || type === "RBracket") depth--;
    if (depth > MAX_DEPTH) {
      throw new JsonFault(`it is nested more than ${MAX_DEPTH} deep`, loc.start);
    }
  }
}

/** @throws JsonFault where a key comes a second time. */
function jsonValue(node: DocumentNode | ValueNode): unknown {
  switch (node.type) {
    case "Document":
      return jsonValue(node.body as ValueNode);
    case "Array":
      return node.elements.map(({ value }) => jsonValue(value));
    case "Object": {
      const values = new Map<string, unknown>();
      for (const { name, value } of node.members) {
        const key = name.type === "String" ? name.value : name.name;
        if (values.has(key)) {
          throw new JsonFault(`it has the key ${JSON.stringify(key)} twice`, name.loc.start);
        }
        values.set(key, jsonValue(value));
      }
      // A key "__proto__" becomes a property like any other.
      return Object.fromEntries(values);
    }
    case "String":
    case "Number":
    case "Boolean":
      return node.value;
    case "Null":
      return null;
    default:
      throw new JsonFault("it is not JSON", (node as AnyNode).loc.start);
  }
}

/** The parser's errors have the place in fields of their own. */
function placeOf(thrown: unknown): Place {
  const { line, column } = thrown as Partial<Place>;
  return { line: line ?? 1, column: column ?? 1 };
}
