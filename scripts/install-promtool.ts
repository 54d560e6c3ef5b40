import { ensureDebianProgram } from "./debian-program.ts";

/** What to do where {@linkcode ensurePromtool} finds none. */
export const PROMTOOL_ADVICE = "install Prometheus so that promtool is on the PATH";

/** Where Prometheus' `promtool` is; `undefined`: tests that need it are skipped. */
export function ensurePromtool(): string | undefined {
  return ensureDebianProgram({ package: "prometheus", program: "promtool", version: "--version" });
}
