/** Reads a `Cookie` header (RFC 6265 §4.2.1): names with values, in their order. A name may come several times. */
export function* cookiesIn(header: string): Generator<readonly [name: string, value: string]> {
  for (const cookie of header.split(";")) {
    const equals = cookie.indexOf("=");
    const name = cookie.slice(0, Math.max(0, equals)).trim();
    if (name !== "") yield [name, cookie.slice(equals + 1).trim()];
  }
}
