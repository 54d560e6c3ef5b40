/**
 * Negotiates permessage-deflate (RFC 7692 §5.1 and §7.1). Returns the first offer whose parameters can all be kept, or
 * `undefined`: the connection is then uncompressed, also if the header can't be read. The runtimes get the chosen offer
 * instead of the client's header, because some accept parameters that they don't keep, or refuse the handshake.
 */
export function chooseOffer(header: string): string | undefined {
  for (const { name, parameters } of readExtensions(header) ?? []) {
    if (name !== "permessage-deflate" || !canKeep(parameters)) continue;
    return parameters.has(SERVER_BITS) ? `${name}; ${SERVER_BITS}=${WINDOW_BITS}` : name;
  }
  return undefined;
}

/** One element of `Sec-WebSocket-Extensions`. */
export interface Extension {
  readonly name: string;
  /** By name; `undefined` for a parameter without a value. */
  readonly parameters: ReadonlyMap<string, string | undefined>;
}

const SERVER_BITS = "server_max_window_bits";
/** Frames are compressed once for all clients, with the largest window. */
const WINDOW_BITS = "15";
/** RFC 7692 §7.1.2: 8 to 15, without leading zeros. */
const BITS = /^(?:[89]|1[0-5])$/;

/** Returns whether all parameters of an offer are known, valid, and kept by us. */
function canKeep(parameters: Extension["parameters"]): boolean {
  for (const [name, value] of parameters) {
    switch (name) {
      case "server_no_context_takeover":
      case "client_no_context_takeover":
        if (value !== undefined) return false;
        break;
      case SERVER_BITS:
        if (value !== WINDOW_BITS) return false;
        break;
      case "client_max_window_bits":
        // We inflate with the largest window, which fits any smaller one.
        if (value !== undefined && !BITS.test(value)) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const QUOTED = /"(?:[^"\\]|\\.)*"/y;
const SPACE = /[ \t]*/y;

/**
 * Reads `Sec-WebSocket-Extensions` (RFC 6455 §9.1; list elements may be empty, RFC 9110 §5.6.1).
 *
 * @returns `undefined` if the header is malformed, or names a parameter twice in one element.
 */
export function readExtensions(header: string): Extension[] | undefined {
  const extensions: Extension[] = [];
  let at = 0;
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const [found = ""] = pattern.exec(header) ?? [];
    at += found.length;
    return found;
  };
  const takeChar = (char: string): boolean => {
    take(SPACE);
    if (header[at] !== char) return false;
    at++;
    take(SPACE);
    return true;
  };
  const takeValue = (): string | undefined => {
    const value = take(TOKEN) || take(QUOTED).slice(1, -1).replace(/\\(.)/g, "$1");
    TOKEN.lastIndex = 0;
    // The text of a quoted value must be a token too.
    return TOKEN.exec(value)?.[0] === value ? value : undefined;
  };

  take(SPACE);
  while (at < header.length) {
    const name = take(TOKEN);
    if (name !== "") {
      const parameters = new Map<string, string | undefined>();
      while (takeChar(";")) {
        const parameter = take(TOKEN);
        if (parameter === "" || parameters.has(parameter)) return undefined;
        let value: string | undefined;
        if (takeChar("=")) {
          value = takeValue();
          if (value === undefined) return undefined;
        }
        parameters.set(parameter, value);
      }
      extensions.push({ name, parameters });
    }
    take(SPACE);
    if (at < header.length && !takeChar(",")) return undefined;
  }
  return extensions;
}
