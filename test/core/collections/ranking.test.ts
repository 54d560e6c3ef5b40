import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Place, Ranking } from "../../../src/core/collections/ranking.ts";

interface Item {
  size: number;
}

test("Ranking has the item first that is ahead of all others, as items come, change and go", () => {
  const step = fc.record({
    does: fc.constantFrom("add", "add", "change", "remove"),
    which: fc.nat(),
    size: fc.nat(20),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const ranking = new Ranking<Item>((one, other) => one.size > other.size);
      const places: Place<Item>[] = [];
      for (const { does, which, size } of steps) {
        const index = which % Math.max(1, places.length);
        const place = places[index];
        if (does === "add" || place === undefined) places.push(ranking.add({ size }));
        else if (does === "change") {
          place.item.size = size;
          ranking.moved(place);
        } else {
          ranking.remove(place);
          places.splice(index, 1);
        }
        const most = places.length === 0 ? undefined : Math.max(...places.map((p) => p.item.size));
        expect(ranking.first?.size).toBe(most);
      }
    }),
  );
});
