import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { anchorOf } from "../docs/site/anchors.js";
import { listPages } from "../docs/site/pages.js";
import { clientScript } from "../scripts/client-script.ts";
import { configInput } from "../scripts/config-input.ts";
import {
  CLIENT_SCRIPT,
  CODE_PAGES,
  CONFIG_INPUT,
  codePages,
  ERRORS_PAGE,
  errorsPage,
  PAGES_WITH_TABLES,
  withTables,
} from "../scripts/docs.ts";
import { VERSION } from "../src/gateway/version.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(`${ROOT}README.md`, "utf8");
const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

test.each(PAGES_WITH_TABLES)(
  "%s has the tables of the code (npm run docs renews them)",
  (page, tables) => {
    const text = readFileSync(ROOT + page, "utf8");
    expect(text).toBe(withTables(text, tables));
  },
);

test("docs/errors.md has the codes of the code (npm run docs renews it)", () => {
  expect(readFileSync(ERRORS_PAGE, "utf8")).toBe(errorsPage());
});

test("docs/errors/ has a page for each code (npm run docs renews them)", () => {
  const pages = codePages();
  const written = readdirSync(CODE_PAGES).map(
    (file) => [file, readFileSync(CODE_PAGES + file, "utf8")] as const,
  );
  expect(written.sort()).toEqual([...pages].sort());
  // Some file systems don't know upper from lower case.
  expect(new Set([...pages.keys()].map((file) => file.toLowerCase())).size).toBe(pages.size);
});

test("src/config/input.generated.ts has the keys of the schema (npm run docs renews it)", () => {
  expect(readFileSync(CONFIG_INPUT, "utf8")).toBe(configInput());
});

test("src/http/client-script.generated.ts has the client of src/client (npm run docs renews it)", () => {
  // A text of 50 kB in the output would help nobody.
  expect(readFileSync(CLIENT_SCRIPT, "utf8") === clientScript()).toBe(true);
});

const SHOWN = [
  ["README.md", "deploy/public.json"],
  ["README.md", "deploy/spillway.json"],
  ["docs/operations.md", "deploy/nginx.conf"],
  ["docs/operations.md", "deploy/haproxy.cfg"],
  ["docs/operations.md", "deploy/Caddyfile"],
  ["docs/operations.md", "deploy/Dockerfile"],
  ["docs/operations.md", "deploy/spillway.service.d/public.conf"],
  ["docs/security.md", "deploy/tenants.conf"],
  ["docs/security.md", "deploy/tenants.json"],
  ["docs/security.md", "examples/authorizer.js"],
  ["docs/security.md", "examples/authorizer-go/main.go"],
] as const;

test.each(SHOWN)("%s shows %s as it is", (page, file) => {
  const [text, shown] = [page, file].map((path) =>
    readFileSync(new URL(`../${path}`, import.meta.url), "utf8"),
  );
  expect(text).toContain(`\n${shown}\`\`\`\n`);
});

const PAGES = listPages(ROOT);

test.each(PAGES)("%s links to files and headings that are there", (page) => {
  const text = readFileSync(`${ROOT}${page}`, "utf8");
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)];
  const missing = links.filter(([, path = "", anchor]) => {
    const file = path === "" ? `${ROOT}${page}` : resolve(ROOT, dirname(page), path);
    if (!existsSync(file)) return true;
    if (anchor === undefined) return false;
    const headings = readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm);
    return ![...headings].some(([, heading]) => anchorOf(heading ?? "") === anchor);
  });
  expect(missing.map(([link]) => link)).toEqual([]);
});

test("README names each path for operators", () => {
  const folder = new URL("../src/http/", import.meta.url);
  const code = readdirSync(folder).map((file) => readFileSync(new URL(file, folder), "utf8"));
  const paths = new Set(code.join("\n").match(/(?<=")\/admin\/[a-z]+(?=")/g));
  expect(paths.size).toBeGreaterThan(0);
  expect([...paths].filter((path) => !readme.includes(` ${path}\``))).toEqual([]);
});

test("VERSION is the package's version", () => {
  expect(VERSION).toBe(manifest.version);
});
