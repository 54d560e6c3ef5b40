/**
 * Spillway for `deno serve` and Deno Deploy, configured by environment variables: `main.js` is
 *
 * ```ts
 * export { default } from "npm:spillway/deno-serve";
 * ```
 *
 * and `NATS_URL=wss://nats.example.com deno serve --allow-net --allow-env main.js` runs it. The gateway starts when the
 * module is loaded. If the configuration is wrong, the process ends with 1 and says why. It needs no files.
 *
 * @module
 */

import { type DenoServeModule, startDenoServe } from "./edge/deno-serve.ts";

const served: DenoServeModule = await startDenoServe();

export default served;
