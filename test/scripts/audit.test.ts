import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("../../scripts/audit.js", import.meta.url));
const ADVISORIES = "/-/npm/v1/security/advisories/bulk";

/** The registry's words on a package; the others are without fault. */
const ADVISORY = {
  id: 1,
  url: "https://advisories.example/1",
  title: "It does harm",
  vulnerable_versions: "<2.0.0",
  cwe: [],
  cvss: { score: 9, vectorString: null },
};

let directory: string;
let registry: Server;
/** The answers of the registry by path; others are 404. */
let answers: Map<string, unknown>;
let asked: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "spillway-audit-"));
  answers = new Map();
  asked = [];
  registry = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    request.resume();
    const answer = answers.get(path);
    response.writeHead(answer === undefined ? 404 : 200, { "Content-Type": "application/json" });
    response.end(JSON.stringify(answer ?? { error: "not here" }));
  });
  await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  registry.closeAllConnections();
  await new Promise((resolve) => registry.close(resolve));
  await rm(directory, { recursive: true });
});

/** Audits a project that has one dependency, and one that is only for its developers. */
async function audit(license?: string) {
  const project = { name: "project", version: "1.0.0" };
  const dependencies = { "left-over": "1.0.0" };
  const devDependencies = { tool: "1.0.0" };
  const manifest = { ...project, type: "module", dependencies, devDependencies };
  const packages = {
    "": { ...project, dependencies, devDependencies },
    "node_modules/left-over": { version: "1.0.0", license },
    "node_modules/tool": { version: "1.0.0", license: "Proprietary", dev: true },
  };
  const lock = { ...project, lockfileVersion: 3, requires: true, packages };
  await mkdir(join(directory, "scripts"));
  await cp(SCRIPT, join(directory, "scripts/audit.js"));
  await writeFile(join(directory, "package.json"), JSON.stringify(manifest));
  await writeFile(join(directory, "package-lock.json"), JSON.stringify(lock));
  const { port } = registry.address() as AddressInfo;
  // From another folder: the project is the one of the script.
  const child = spawn("node", [join(directory, "scripts/audit.js")], {
    cwd: tmpdir(),
    env: {
      PATH: process.env.PATH,
      npm_config_registry: `http://127.0.0.1:${port}/`,
      npm_config_cache: join(directory, "cache"),
      npm_config_userconfig: join(directory, "npmrc"),
      npm_config_fetch_retries: "0",
      npm_config_update_notifier: "false",
    },
  });
  const exit = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  return { stdout, stderr, code };
}

/** Lets the registry say that the dependency has a vulnerability. */
function findVulnerability(severity: string): void {
  const version = (version: string) => ({ name: "left-over", version, dist: {} });
  const versions = { "1.0.0": version("1.0.0"), "2.0.0": version("2.0.0") };
  answers.set("/left-over", { name: "left-over", "dist-tags": { latest: "2.0.0" }, versions });
  answers.set(ADVISORIES, { "left-over": [{ ...ADVISORY, severity }] });
}

test("A package without vulnerability and with a usual licence passes", async () => {
  answers.set(ADVISORIES, {});
  expect(await audit("MIT")).toEqual({
    stdout: "1 packages checked, 0 faults\n",
    stderr: "",
    code: 0,
  });
  expect(asked).toEqual([ADVISORIES]);
});

test.each(["high", "critical"])(
  "A vulnerability that is %s fails, and is named",
  async (severity) => {
    findVulnerability(severity);
    const { stdout, stderr, code } = await audit("MIT");
    expect({ stdout, code }).toEqual({ stdout: "1 packages checked, 1 faults\n", code: 1 });
    // npm writes the range in its own way.
    expect(stderr.replace(/ [<\d.]+ /, " … ")).toBe(
      `left-over … has a vulnerability (${severity}): see npm audit\n`,
    );
  },
);

test("A vulnerability that is moderate passes", async () => {
  findVulnerability("moderate");
  const { stderr, code } = await audit("MIT");
  expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
});

test("A registry that knows no vulnerabilities passes with a warning", async () => {
  const { stderr, code } = await audit("MIT");
  expect(stderr).toStartWith("Vulnerabilities were not checked, as the registry can't say: ");
  expect(code).toBe(0);
  expect(asked).toContain(ADVISORIES);
});

test.each([
  ["GPL-3.0-only", "GPL-3.0-only"],
  ["(none)", undefined],
])("The licence %s fails, and is named with its package", async (shown, license) => {
  answers.set(ADVISORIES, {});
  const { stderr, code } = await audit(license);
  expect(stderr).toBe(`left-over has the licence ${shown}, which is not in the list\n`);
  expect(code).toBe(1);
});
