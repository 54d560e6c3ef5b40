import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

/** The attributes of a page that lead to other places. */
const LINK = /<(?:a|img|link|script|source)\b[^>]*?\s(?:href|src)="([^"]*)"/g;
const ID = /\sid="([^"]*)"/g;

/**
 * Follows each link of a built site.
 *
 * @param {string} folder the site.
 * @param {string} base the path of the site on its server, which ends with a slash.
 * @returns {{ pages: number, links: number, dead: string[] }} `dead`: each link that leads to no file, or to no place in
 * its page.
 */
export function checkLinks(folder, base = "/") {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) =>
    path.replaceAll("\\", "/"),
  );
  const pages = files.filter((file) => file.endsWith(".html"));
  /** @type {Map<string, { ids: Set<string>, links: string[] }>} */
  const read = new Map(
    pages.map((page) => {
      const html = readFileSync(join(folder, page), "utf8");
      const found = (/** @type {RegExp} */ pattern) =>
        Array.from(html.matchAll(pattern), ([, text = ""]) => unescaped(text));
      return [page, { ids: new Set(found(ID)), links: found(LINK) }];
    }),
  );
  let links = 0;
  const dead = [...read].flatMap(([page, { links: its }]) =>
    its
      .filter((link) => {
        if (/^(?:https?|mailto|data):/.test(link)) return false;
        links++;
        const { pathname, hash } = new URL(link, `http://site${posix.join(base, page)}`);
        if (!pathname.startsWith(base)) return true;
        const path = decodeURIComponent(pathname.slice(base.length));
        const file = path === "" || path.endsWith("/") ? `${path}index.html` : path;
        const target = read.get(file);
        if (target === undefined) return !existsSync(join(folder, file));
        return hash.length > 1 && !target.ids.has(decodeURIComponent(hash.slice(1)));
      })
      .map((link) => `${page}: ${link}`),
  );
  return { pages: pages.length, links, dead };
}

/** @param {string} text an attribute of HTML */
function unescaped(text) {
  return text.replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&amp;", "&");
}
