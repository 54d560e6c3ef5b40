/** The documentation site, built as `npm run site` does: only `npm run test:slow` builds it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { checkLinks } from "../../docs/site/check-links.js";
import { listPages, outputOf } from "../../docs/site/pages.js";
import { explainedCodes } from "../../src/commands/explanations.ts";
import { startProcess } from "../support/child-process.ts";
import { ROOT } from "../support/runtimes.ts";

// The first run installs the packages.
setDefaultTimeout(600_000);

test("The site has every page, and no dead link or anchor", async () => {
  const build = await startProcess("site", [process.execPath, "run", "scripts/site.js"], {
    cwd: ROOT,
  });
  const { code } = await build.exited;
  const said = build.lines.entries.map(({ text }) => text);
  expect({ code, said: code === 0 ? "" : said.slice(-30) }).toEqual({ code: 0, said: "" });

  const dist = `${ROOT}docs/site/dist/`;
  const missing = listPages(ROOT)
    .map((page) => outputOf(page).replace(/\.md$/, ".html"))
    .filter((page) => !existsSync(dist + page));
  expect(missing).toEqual([]);
  const { pages, links, dead } = checkLinks(dist);
  expect(dead).toEqual([]);
  expect(pages).toBeGreaterThan(explainedCodes().length);
  expect(links).toBeGreaterThan(1000);

  const start = readFileSync(`${dist}index.html`, "utf8");
  // Pictures, a diagram that needs no script, and the search.
  const pictures = readFileSync(`${ROOT}README.md`, "utf8").match(/^!\[/gm)?.length;
  // The build puts small pictures into the page.
  const shown = start.match(/<img [^>]*src="(?:\/assets\/|data:image\/svg)/g)?.length;
  expect(shown).toBe(pictures);
  expect(start).toContain('<svg xmlns="http://www.w3.org/2000/svg"');
  expect(start).not.toContain("fonts.googleapis.com");
  expect(start).toContain("VPNavBarSearch");
  const page = readFileSync(`${dist}docs/errors/4510.html`, "utf8");
  expect(page).toContain("What to do.");
});
