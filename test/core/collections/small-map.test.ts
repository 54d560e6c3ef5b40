import { expect, test } from "bun:test";
import fc from "fast-check";
import { SmallMap } from "../../../src/core/collections/small-map.ts";

test("A small map has the entries of a Map, whatever is set and deleted", () => {
  const keys = ["a", "b", "c"];
  const step = fc.tuple(fc.constantFrom("set", "delete"), fc.constantFrom(...keys), fc.nat());
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const small = new SmallMap<string, number>();
      const model = new Map<string, number>();
      for (const [kind, key, value] of steps) {
        if (kind === "delete") {
          small.delete(key);
          model.delete(key);
        } else {
          small.set(key, value);
          model.set(key, value);
        }
        expect([...small]).toEqual([...model]);
        expect([...small.values()]).toEqual([...model.values()]);
        expect(small.size).toBe(model.size);
        for (const one of keys) expect(small.get(one)).toBe(model.get(one));
      }
    }),
  );
});
