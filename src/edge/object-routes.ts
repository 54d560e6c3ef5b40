/** The number of Durable Objects, or their names. */
export type ObjectChoice = number | readonly string[];

/** The object that a request is for, and the request as the object sees it. */
export interface ObjectRoute {
  readonly name: string;
  readonly request: Request;
}

const NAME = /^[A-Za-z0-9_.~-]+$/;

/** Chooses a Durable Object for each request. */
export class ObjectRoutes {
  readonly #names: readonly string[];
  /** Whether a request that names no object has one all the same. */
  readonly #isSpread: boolean;

  /** @throws RangeError if the choice names no object, or one that isn't one word of a path. */
  constructor(choice: ObjectChoice) {
    if (typeof choice === "number" && !Number.isInteger(choice)) {
      throw new RangeError(`"objects" must be a whole number or names, not ${choice}`);
    }
    this.#isSpread = typeof choice === "number";
    this.#names =
      typeof choice === "number" ? Array.from({ length: choice }, (_, n) => `${n + 1}`) : choice;
    const wrong = this.#names.find((name) => !NAME.test(name));
    if (wrong !== undefined) {
      throw new RangeError(
        `"objects" has the name ${JSON.stringify(wrong)} but a name must be letters, digits and - . _ ~`,
      );
    }
    if (this.#names.length === 0) throw new RangeError(`"objects" must be at least one`);
  }

  /** Returns `undefined` if the request is for no object. */
  of(request: Request): ObjectRoute | undefined {
    const url = new URL(request.url);
    const [, first = "", rest = "/"] = /^\/([^/]*)(\/.*)?$/.exec(url.pathname) ?? [];
    if (this.#names.includes(first)) {
      url.pathname = rest;
      return { name: first, request: new Request(url, request) };
    }
    if (!this.#isSpread) return undefined;
    // A client that reconnects finds what its object remembers of it.
    const address = request.headers.get("cf-connecting-ip") ?? "";
    const name = this.#names[hash(address) % this.#names.length] as string;
    return { name, request };
  }
}

/** FNV-1a of 32 bits (https://datatracker.ietf.org/doc/html/draft-eastlake-fnv). */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    value = Math.imul(value ^ byte, 0x01000193);
  }
  return value >>> 0;
}
