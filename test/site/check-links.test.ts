import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { anchorOf } from "../../docs/site/anchors.js";
import { checkLinks } from "../../docs/site/check-links.js";

describe("checkLinks", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "spillway-site-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Checks a site of these files. */
  function check(files: Readonly<Record<string, string>>, base?: string) {
    const site = mkdtempSync(join(folder, "site-"));
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(site, path)), { recursive: true });
      writeFileSync(join(site, path), content);
    }
    return checkLinks(site, base);
  }

  const picture = { "assets/a.png": "", "assets/a.js": "" };

  test("takes links that lead somewhere, and leaves out those to other servers", () => {
    const files = {
      "index.html":
        '<h1 id="top">A</h1><a href="#top">1</a><a class="x" href="/docs/b.html#two&amp;a">2</a><img src="/assets/a.png"><a href="https://example.com/x#y">3</a><script type="module" src="/assets/a.js"></script>',
      "docs/b.html": '<h2 id="two&amp;a">B</h2><a href="../">4</a><a href="./b.html">5</a>',
      ...picture,
    };
    expect(check(files)).toEqual({ pages: 2, links: 6, dead: [] });
  });

  test.each([
    ['<a href="/none.html">', "/none.html"],
    ['<a href="none.html#a">', "none.html#a"],
    ['<a href="#none">', "#none"],
    ['<a href="/docs/b.html#none">', "/docs/b.html#none"],
    ['<img alt="" src="/assets/none.png">', "/assets/none.png"],
    ['<link rel="icon" href="/none.ico">', "/none.ico"],
    ['<a href="/docs/">', "/docs/"],
  ])("finds %s", (html, link) => {
    const { dead } = check({ "index.html": html, "docs/b.html": '<p id="a"></p>', ...picture });
    expect(dead).toEqual([`index.html: ${link}`]);
  });

  test("knows the path of the site on its server", () => {
    const files = {
      "index.html": '<a href="/live/b.html">1</a><a href="/b.html">2</a>',
      "b.html": '<a href="/live/">3</a>',
    };
    expect(check(files, "/live/")).toEqual({ pages: 2, links: 3, dead: ["index.html: /b.html"] });
  });
});

test.each([
  ["What `spillway.v1.json` says: all", "what-spillwayv1json-says-all"],
  ["4510 (slow consumer)", "4510-slow-consumer"],
  ["Publish, request, presence", "publish-request-presence"],
])("the anchor of %j is GitHub's", (heading, anchor) => {
  expect(anchorOf(heading)).toBe(anchor);
});
