// `npm run site`: builds the documentation site into docs/site/dist, and follows its links.
// `npm run site -- dev` shows it in a browser, and again whenever a page changes.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { checkLinks } from "../docs/site/check-links.js";
import { installPackages } from "./packages.js";

const SITE = fileURLToPath(new URL("../docs/site", import.meta.url));

installPackages("docs/site");
const [command = "build", ...args] = process.argv.slice(2);
const vitepress = join(SITE, "node_modules/vitepress/bin/vitepress.js");
const { status } = spawnSync(process.execPath, [vitepress, command, SITE, ...args], {
  stdio: "inherit",
});
if (status !== 0) process.exit(status ?? 1);
if (command === "build") {
  const { pages, links, dead } = checkLinks(join(SITE, "dist"), process.env.SITE_BASE);
  for (const link of dead) process.stderr.write(`Dead link: ${link}\n`);
  process.stdout.write(`${pages} pages, ${links} links, ${dead.length} of them dead\n`);
  if (dead.length > 0 || pages === 0) process.exit(1);
}
