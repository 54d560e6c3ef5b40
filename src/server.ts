#!/usr/bin/env node
import process from "node:process";
import { processHost } from "./commands/process-host.ts";
import { runCommand } from "./commands/run.ts";

/** The longest time in which the reader of the output reads the rest of it. */
const LAST_WRITE_MS = 1000;

// If the reader of the output is gone, the service continues.
process.stdout.on("error", () => {});
const code = await runCommand(process.argv.slice(2), processHost);
// The output must arrive, if somebody reads it. Connections that are kept for later must not keep the process.
const exit = (): never => process.exit(code);
process.stdout.write("", exit);
setTimeout(exit, LAST_WRITE_MS);
