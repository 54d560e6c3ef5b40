/** The client as a page loads it: one file, as esbuild bundles and minifies it. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { bundle } from "../../scripts/bundle.ts";

const PAGE = readFileSync(new URL("../../docs/client.md", import.meta.url), "utf8");
/** The most kB, by what a page imports: the rows of the documentation. */
const MOST_KB = [...PAGE.matchAll(/^\| `(connect.*)` \| ([\d.]+) \|$/gm)].map(
  ([, names, kb]) => [names!, Number(kb)] as const,
);

/** The module from which a page imports a name. */
function sourceOf(name: string): string {
  return name.startsWith("use") ? "./src/client/react.ts" : "./src/client/mod.ts";
}

test("the documentation has a bound for the core, and one for the whole", () => {
  const names = MOST_KB.map(([names]) => names);
  expect(names).toContain("connect");
  expect(names).toContain("connect, shared, webSocketOrEvents");
});

test.each(MOST_KB)(
  "a page that imports %s loads at most %d kB, minified and compressed",
  (names, most) => {
    const code = names
      .split(", ")
      .map((name) => `export { ${name} } from "${sourceOf(name)}";`)
      .join("");
    const bundled = bundle({ code, minify: true, external: ["react"] });
    expect(bundled.length).toBeGreaterThan(1000);
    expect(gzipSync(bundled, { level: 9 }).length).toBeLessThanOrEqual(most * 1000);
  },
);
