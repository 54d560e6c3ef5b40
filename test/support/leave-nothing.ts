import { afterAll } from "bun:test";
import { endForgottenProcesses } from "./child-process.ts";

// Loaded by `test/run.ts` before all test files: what they forget, a failed set-up say, ends here.
afterAll(endForgottenProcesses);
