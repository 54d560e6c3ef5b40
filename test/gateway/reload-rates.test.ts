import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/input.generated.ts";
import { ReloadWorld } from "./support/reload-world.ts";

const directory = mkdtempSync(join(tmpdir(), "spillway-reload-rates-"));
afterAll(() => rmSync(directory, { recursive: true }));
const TOKENS = join(directory, "tokens.json");
writeFileSync(TOKENS, "[]");

type Attempt = (world: ReloadWorld) => Promise<number>;

/** Tries until a rate is used up. */
async function useUp(world: ReloadWorld, attempt: Attempt): Promise<number> {
  let tries = 0;
  while ((await attempt(world)) !== 429) tries++;
  return tries;
}

test.each<[string, ConfigInput, keyof ConfigInput, Attempt]>([
  [
    "connect",
    {},
    "max_handshakes_per_second",
    async (world) => (await world.connect({ query: "?subjects=a" })).status,
  ],
  ["post", { tokens_file: TOKENS }, "max_publishes_per_second", (world) => world.post("a")],
])(
  "A client that may not %s for some time may not after a reload either, with the same or another rate",
  async (_, keys, key, attempt) => {
    const world = await ReloadWorld.start({ ...keys, [key]: 2 });
    const most = await useUp(world, attempt);
    expect(most).toBeGreaterThan(1);
    await world.reload({ ...keys, [key]: 2, max_subscriptions: 3 });
    expect(await attempt(world)).toBe(429);
    // A part of an attempt that was left may be a whole one by now.
    await world.reload({ ...keys, [key]: 4 });
    expect(await useUp(world, attempt)).toBeLessThanOrEqual(1);
    world.clock.advance(60_000);
    expect(await useUp(world, attempt)).toBeGreaterThanOrEqual(2 * most);
    await world.stop();
  },
);
