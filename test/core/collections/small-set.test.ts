import { expect, test } from "bun:test";
import fc from "fast-check";
import { SmallSet } from "../../../src/core/collections/small-set.ts";

test("A small set has the values of a Set, whatever is added and deleted", () => {
  const values = [{}, {}, {}];
  const step = fc.tuple(fc.constantFrom("add", "delete"), fc.nat(values.length - 1));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const small = new SmallSet<object>();
      const model = new Set<object>();
      for (const [kind, index] of steps) {
        const value = values[index]!;
        if (kind === "delete") expect(small.delete(value)).toBe(model.delete(value));
        else {
          small.add(value);
          model.add(value);
        }
        const seen: object[] = [];
        small.each((one) => seen.push(one));
        expect(seen).toEqual([...model]);
        expect([...small]).toEqual([...model]);
        expect(small.size).toBe(model.size);
        for (const one of values) expect(small.has(one)).toBe(model.has(one));
      }
    }),
  );
});

test("A value that deletes itself from a small set while it is visited doesn't hide the others", () => {
  for (const count of [1, 2, 3]) {
    const small = new SmallSet<number>();
    for (let value = 1; value <= count; value++) small.add(value);
    let visited = 0;
    small.each((value) => {
      visited++;
      small.delete(value);
    });
    for (const value of small) small.delete(value);
    expect(visited).toBe(count);
    expect(small.size).toBe(0);
  }
});
