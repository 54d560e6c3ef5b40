import { existsSync, statSync } from "node:fs";
import { posix, relative, sep } from "node:path";
import { outputOf } from "./pages.js";

/**
 * Resolves links from the file that has them. A link to another page leads to its place on the site. A link to any other
 * file leads to `source`; without it, it is a text with the path as its title. A link to nothing fails the build.
 *
 * @param {import("vitepress").MarkdownRenderer} md
 * @param {{ root: string, pages: readonly string[], source: string | undefined }} options
 */
export function repositoryLinks(md, { root, pages, source }) {
  const known = new Set(pages);
  md.core.ruler.push("repository_links", (state) => {
    const { realPath, path } = state.env;
    const page = relative(root, realPath ?? path)
      .split(sep)
      .join("/");
    for (const { children } of state.tokens) {
      /** @type {boolean[]} whether each open link is one that leads nowhere */
      const open = [];
      for (const token of children ?? []) {
        if (token.type === "link_close" && open.pop()) token.tag = "span";
        if (token.type !== "link_open") continue;
        const href = /** @type {string} */ (token.attrGet("href"));
        const place = /^(?:[a-z]+:|#|$)/i.test(href) ? href : placeOf(page, href);
        open.push(place === undefined);
        if (place !== undefined) token.attrSet("href", place);
        else {
          token.tag = "span";
          token.attrs = [["title", posix.normalize(posix.join(posix.dirname(page), href))]];
        }
      }
    }
  });

  /**
   * @param {string} page
   * @param {string} href
   */
  function placeOf(page, href) {
    const [path = "", hash] = decodeURI(href).split("#");
    const target = posix.normalize(posix.join(posix.dirname(page), path)).replace(/\/$/, "");
    const anchor = hash === undefined ? "" : `#${hash}`;
    const found = [target, posix.join(target, "README.md")].find((one) => known.has(one));
    if (found !== undefined) return `/${outputOf(found)}${anchor}`;
    if (target.startsWith("..") || !existsSync(root + target)) {
      throw new Error(`${page} links to ${href}, which doesn't exist`);
    }
    const kind = statSync(root + target).isDirectory() ? "tree" : "blob";
    return source === undefined ? undefined : `${source}/${kind}/HEAD/${target}${anchor}`;
  }
}
