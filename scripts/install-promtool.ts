import { ensureDebianProgram } from "./debian-program.ts";

/** Says what to do if {@linkcode ensurePromtool} finds none. */
export const PROMTOOL_ADVICE = "install Prometheus so that promtool is on the PATH";

/** The path of Prometheus' `promtool`; `undefined`: tests that need it are skipped. */
export function ensurePromtool(): string | undefined {
  return ensureDebianProgram({ package: "prometheus", program: "promtool", version: "--version" });
}
