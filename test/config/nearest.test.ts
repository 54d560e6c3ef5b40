import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { keys } from "../../src/config/keys.ts";
import { nearest } from "../../src/config/nearest.ts";

const known = Object.keys(keys);

describe("Nearest known word", () => {
  test.each([
    ["prot", "port"],
    ["porT", "port"],
    ["writeTimeout", "write_timeout"],
    ["write-timeout", "write_timeout"],
    ["ping_intervall", "ping_interval"],
    ["subject", "subjects"],
    ["nats_urls", "nats_url"],
  ])("to %s is %s", (word, near) => {
    expect(nearest(word, known)).toBe(near);
  });

  test.each(["passthrough", "x", "", "constructor", "__proto__"])("to %j is none", (word) => {
    expect(nearest(word, known)).toBeUndefined();
  });

  test("to a known word is the word itself", () => {
    for (const word of known) expect(nearest(word, known)).toBe(word);
  });

  test("is found when one letter is missing, doubled or swapped", () => {
    const word = fc.constantFrom(...known.filter((key) => key.length > 4));
    fc.assert(
      fc.property(word, fc.nat(), fc.constantFrom("drop", "double", "swap"), (key, at, change) => {
        const index = at % (key.length - 1);
        const [before, letter, next] = [key.slice(0, index), key[index]!, key[index + 1]!];
        const after = key.slice(index + 2);
        const middle = { drop: next, double: letter + letter + next, swap: next + letter }[change];
        const found = nearest(before + middle + after, known);
        expect(found).toBeDefined();
        if (change === "double") expect(found).toBe(key);
      }),
    );
  });
});
