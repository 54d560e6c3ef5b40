/** The client as a page loads it: one file, as esbuild bundles and minifies it. */
import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { bundle } from "../../scripts/bundle.ts";

/** The most bytes, by what a page imports; React itself isn't counted. */
const MOST_BYTES = [
  ["connect", 9_950],
  ["connect, webSocketOrEvents", 12_050],
  ["connect, shared", 12_300],
  ["connect, shared, webSocketOrEvents", 14_400],
  ["connect, useStream, useConnectionState", 10_450],
] as const;

/** The module from which a page imports a name. */
function sourceOf(name: string): string {
  return name.startsWith("use") ? "./src/client/react.ts" : "./src/client/mod.ts";
}

test.each(MOST_BYTES)(
  "a page that imports %s loads less than %d bytes, minified and compressed",
  (names, most) => {
    const code = names
      .split(", ")
      .map((name) => `export { ${name} } from "${sourceOf(name)}";`)
      .join("");
    const bundled = bundle({ code, minify: true, external: ["react"] });
    expect(bundled.length).toBeGreaterThan(1000);
    expect(gzipSync(bundled, { level: 9 }).length).toBeLessThan(most);
  },
);
