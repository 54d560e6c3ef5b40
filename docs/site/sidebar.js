import { readFileSync } from "node:fs";
import { join } from "node:path";
import { outputOf } from "./pages.js";

/** The pages in the order in which a reader needs them, by the title of their group. */
const PATH = {
  Start: ["README.md", "examples/README.md"],
  Client: ["docs/client.md", "docs/migrating.md", "docs/presence.md"],
  "Slow clients": ["docs/slow-clients.md"],
  Security: ["docs/security.md", "docs/revocation.md", "SECURITY.md"],
  Operations: [
    ...["docs/operations.md", "docs/configuration.md", "docs/metrics.md"],
    ...["docs/runtimes.md", "docs/edge.md"],
  ],
  Protocol: ["docs/protocol.md"],
  Errors: ["docs/errors.md"],
  Architecture: ["docs/architecture.md", "bench/RESULTS.md", "bench/README.md"],
  Project: ["CHANGELOG.md", "CONTRIBUTING.md"],
};

/** The page of each code, below the list of them. */
const CODES = /^docs\/errors\//;
const EXAMPLES = /^examples\/.+\//;

/**
 * Returns the navigation: every page is in it, those that the path doesn't name at the end of its part.
 *
 * @param {string} root
 * @param {readonly string[]} pages
 * @returns {import("vitepress").DefaultTheme.SidebarItem[]}
 */
export function sidebar(root, pages) {
  /** @param {string} page */
  const item = (page) => ({ text: titleOf(root, page), link: `/${outputOf(page)}` });
  const named = new Set(Object.values(PATH).flat());
  const missing = [...named].filter((page) => !pages.includes(page));
  if (missing.length > 0) throw new Error(`sidebar.js names pages that don't exist: ${missing}`);
  const others = pages.filter((page) => !named.has(page));
  const codes = others.filter((page) => CODES.test(page));
  const examples = others.filter((page) => EXAMPLES.test(page));
  const rest = others.filter((page) => !CODES.test(page) && !EXAMPLES.test(page));
  return Object.entries(PATH).map(([text, group]) => ({
    text,
    items: [
      ...group.map(item),
      ...(text === "Start"
        ? [{ text: "Each example", collapsed: true, items: examples.map(item) }]
        : []),
      ...(text === "Operations" ? rest.map(item) : []),
      ...(text === "Errors"
        ? [{ text: "Each code", collapsed: true, items: codes.map(item) }]
        : []),
    ],
  }));
}

/**
 * @param {string} root
 * @param {string} page
 */
function titleOf(root, page) {
  const [, title = page] = /^# (.*)$/m.exec(readFileSync(join(root, page), "utf8")) ?? [];
  return title.replaceAll("`", "");
}
