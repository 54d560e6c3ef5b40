// The documentation site: its pages are the files of the repository, and none is copied.
import process from "node:process";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitepress";
import { anchorOf } from "../anchors.js";
import { diagrams } from "../diagrams.js";
import { foldersWithoutPages, listPages, outputOf } from "../pages.js";
import { repositoryLinks } from "../repository-links.js";
import { sidebar } from "../sidebar.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const pages = listPages(ROOT);

export default defineConfig({
  title: "Spillway",
  description: "Carries NATS subjects and JetStream streams to WebSocket and SSE clients.",
  // Below another path than "/": SITE_BASE=/spillway/ npm run site
  base: process.env.SITE_BASE ?? "/",
  srcDir: "../..",
  srcExclude: foldersWithoutPages(ROOT),
  rewrites: (page) => outputOf(page),
  outDir: "./dist",
  cacheDir: "./.cache",
  // Programs that the reader starts.
  ignoreDeadLinks: "localhostLinks",
  lang: "en",
  markdown: {
    anchor: { slugify: anchorOf },
    // Braces are text, as on GitHub.
    attrs: { disable: true },
    config: (md) => {
      // Links to files that are no pages lead to a browser of the repository, if there is one.
      md.use(repositoryLinks, { root: ROOT, pages, source: process.env.SITE_SOURCE });
      md.use(diagrams);
    },
  },
  themeConfig: {
    search: { provider: "local" },
    sidebar: sidebar(ROOT, pages),
    outline: { level: [2, 3] },
    docFooter: { prev: "Before", next: "Next" },
  },
});
