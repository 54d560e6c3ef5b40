import { readdirSync } from "node:fs";
import { join } from "node:path";

/** The folders whose Markdown files are pages, besides those at the top. */
const FOLDERS = ["docs", "bench", "examples"];
/** What has no pages. */
const OTHERS = new Set(["node_modules", "site"]);

/**
 * Lists the Markdown files that are pages of the site, from the root of the repository.
 *
 * @param {string} root
 * @returns {string[]}
 */
export function listPages(root) {
  const top = readdirSync(root).filter((name) => name.endsWith(".md"));
  return [...top, ...FOLDERS.flatMap((folder) => pagesBelow(root, folder))].sort();
}

/**
 * Returns patterns of all folders that {@link listPages} leaves out.
 *
 * @param {string} root
 */
export function foldersWithoutPages(root) {
  const folders = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !FOLDERS.includes(entry.name))
    .map(({ name }) => name);
  return [...folders, ...FOLDERS.map((folder) => `${folder}/site`)].map((name) => `${name}/**`);
}

/**
 * @param {string} root
 * @param {string} folder
 * @returns {string[]}
 */
function pagesBelow(root, folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return OTHERS.has(entry.name) ? [] : pagesBelow(root, path);
    return entry.name.endsWith(".md") ? [path] : [];
  });
}

/**
 * Returns the place of a page on the site: a README is the index of its folder.
 *
 * @param {string} page
 */
export function outputOf(page) {
  return page.replace(/(^|\/)README\.md$/, "$1index.md");
}
