const utf8 = new TextEncoder();

/** Returns the SHA-256 hash of a text in UTF-8. */
export async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", utf8.encode(text)));
}

/** Whether two secrets are equal. Secrets of the same length take the same time, equal or not. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  let difference = 0;
  for (let index = 0; index < one.length; index++) {
    difference |= (one[index] as number) ^ (other[index] as number);
  }
  return difference === 0;
}
