import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { configInput } from "../scripts/config-input.ts";
import {
  CONFIG_INPUT,
  ERRORS_PAGE,
  errorsPage,
  PROTOCOL_PAGE,
  README,
  README_TABLES,
  withTables,
} from "../scripts/docs.ts";
import { PROTOCOL_TABLES } from "../scripts/protocol-tables.ts";
import { VERSION } from "../src/gateway/version.ts";

const readme = readFileSync(README, "utf8");
const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

test("README has the tables of keys and metrics that the code gives (npm run docs renews them)", () => {
  expect(readme).toBe(withTables(readme, README_TABLES));
});

test("docs/protocol.md has the tables of src/protocol (npm run docs renews them)", () => {
  const page = readFileSync(PROTOCOL_PAGE, "utf8");
  expect(page).toBe(withTables(page, PROTOCOL_TABLES));
});

test("docs/errors.md has the codes of the code (npm run docs renews it)", () => {
  expect(readFileSync(ERRORS_PAGE, "utf8")).toBe(errorsPage());
});

test("src/config/input.generated.ts has the keys of the schema (npm run docs renews it)", () => {
  expect(readFileSync(CONFIG_INPUT, "utf8")).toBe(configInput());
});

const SHOWN = [
  ["README.md", "deploy/public.json"],
  ["README.md", "deploy/spillway.json"],
  ["README.md", "deploy/nginx.conf"],
  ["README.md", "deploy/Caddyfile"],
  ["docs/security.md", "examples/authorizer.js"],
  ["docs/security.md", "examples/authorizer-go/main.go"],
] as const;

test.each(SHOWN)("%s shows %s as it is", (page, file) => {
  const [text, shown] = [page, file].map((path) =>
    readFileSync(new URL(`../${path}`, import.meta.url), "utf8"),
  );
  expect(text).toContain(`\n${shown}\`\`\`\n`);
});

test("README links to files that are there", () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, path]) => path ?? "");
  expect(links.length).toBeGreaterThan(5);
  const missing = links.filter((path) => {
    try {
      readFileSync(new URL(`../${path}`, import.meta.url));
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code !== "EISDIR";
    }
  });
  expect(missing).toEqual([]);
});

test("VERSION is the package's version", () => {
  expect(VERSION).toBe(manifest.version);
});
