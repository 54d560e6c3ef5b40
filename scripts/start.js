// `npm start`: runs the service from source on this runtime, or on Bun if this is a Node that can't run TypeScript.
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ensureBun, runInstead } from "./packages.js";

const SERVER = fileURLToPath(new URL("../src/server.ts", import.meta.url));

// Node says there what it does with TypeScript: from 22.18 on it removes the types.
const features = /** @type {{ typescript?: string | false }} */ (process.features);
if ("Bun" in globalThis || "Deno" in globalThis || features.typescript) {
  await import("../src/server.ts");
} else {
  process.stderr.write(
    `Node ${process.versions.node} can't run Spillway's source (22.18 or newer can): running it on Bun\n`,
  );
  runInstead(ensureBun(), ["run", SERVER, ...process.argv.slice(2)]);
}
