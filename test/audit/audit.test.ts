/**
 * Each message is accounted for, whatever breaks. Longer, or with a seed that failed:
 * `AUDIT_SECONDS=600 AUDIT_SEED=7 npm test -- test/audit`.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { TARGETS } from "../support/runtimes.ts";
import { audit } from "./audit.ts";

/** One minute on the three runtimes together. */
const SECONDS = Number(process.env.AUDIT_SECONDS ?? 15);
const SEED = Number(process.env.AUDIT_SEED ?? Math.floor(Math.random() * 1_000_000));

setDefaultTimeout((SECONDS + 120) * 1000);

for (const target of [TARGETS.bun, TARGETS.deno, TARGETS.node]) {
  test(`Audit on ${target.name}: delivered once and in order, declared, or not wanted`, async () => {
    const report = await audit(target, { seed: SEED, durationMs: SECONDS * 1000 });
    process.stdout.write(`audit of ${target.name}, seed ${SEED}: ${JSON.stringify(report)}\n`);
    expect(report.delivered).toBeGreaterThan(report.published);
  });
}
