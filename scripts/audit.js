/**
 * `npm run audit`: whether what users install has known vulnerabilities, and licences that they can live with.
 * A registry that doesn't answer such questions is no failure: the warning says so.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const ALLOWED = new Set([
  "0BSD",
  "Apache-2.0",
  "BlueOak-1.0.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "ISC",
  "MIT",
  "Unlicense",
]);
const SERIOUS = ["high", "critical"];

/** The packages that users install, with their licences. */
function packages() {
  const lock = JSON.parse(readFileSync(`${ROOT}package-lock.json`, "utf8"));
  return Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== "" && dev !== true)
    .map(([path, { license }]) => ({ name: path.replace(/^.*node_modules\//, ""), license }));
}

/** @returns {string[]} what is wrong with the licences. */
function licenceFaults() {
  return packages()
    .filter(({ license }) => !ALLOWED.has(license))
    .map(
      ({ name, license }) =>
        `${name} has the licence ${license ?? "(none)"}, which is not in the list`,
    );
}

/** @returns {string[]} the serious vulnerabilities. */
function vulnerabilities() {
  const args = ["audit", "--omit=dev", "--json"];
  const { stdout } = spawnSync("npm", args, { cwd: ROOT, encoding: "utf8", timeout: 120_000 });
  const report = parse(stdout);
  if (report?.vulnerabilities === undefined) {
    const reason = report?.message ?? report?.error?.summary ?? "no answer";
    process.stderr.write(
      `Vulnerabilities were not checked, as the registry can't say: ${reason}\n`,
    );
    return [];
  }
  return Object.values(report.vulnerabilities)
    .filter(({ severity }) => SERIOUS.includes(severity))
    .map(
      ({ name, severity, range }) =>
        `${name} ${range} has a vulnerability (${severity}): see npm audit`,
    );
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const faults = [...licenceFaults(), ...vulnerabilities()];
for (const fault of faults) process.stderr.write(`${fault}\n`);
process.stdout.write(`${packages().length} packages checked, ${faults.length} faults\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
