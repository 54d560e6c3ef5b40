#!/usr/bin/env node
import process from "node:process";
import { endOnEarlySignals } from "./commands/early-signals.ts";

/** The longest time in which the reader of the output reads the rest of it. */
const LAST_WRITE_MS = 1000;

endOnEarlySignals();
// Loaded after that, as it takes a while.
const { processHost } = await import("./commands/process-host.ts");
const { runCommand } = await import("./commands/run.ts");
// If the reader of the output is gone, the service continues.
process.stdout.on("error", () => {});
const code = await runCommand(process.argv.slice(2), processHost);
// The output must arrive, if somebody reads it. Connections that are kept for later must not keep the process.
const exit = (): never => process.exit(code);
process.stdout.write("", exit);
setTimeout(exit, LAST_WRITE_MS);
