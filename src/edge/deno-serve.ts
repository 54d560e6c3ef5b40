import { readFileSync } from "node:fs";
import process from "node:process";
import { announce } from "../commands/announce.ts";
import { EXIT } from "../commands/command.ts";
import { stopOnSignals } from "../commands/stop-on-signals.ts";
import { reasonOf } from "../core/ports/errors.ts";
import { createDenoRuntime } from "../runtime/deno.ts";
import { type EdgeGateway, type EdgeHost, openGateway } from "./open-gateway.ts";

/** The default export that `deno serve` and Deno Deploy expect of a module (`Deno.ServeDefaultExport`). */
export interface DenoServeModule {
  fetch(request: Request, info?: unknown): Response | Promise<Response>;
  onListen(address: { readonly hostname?: string; readonly port?: number }): void;
}

const HOST: EdgeHost = {
  name: "deno serve",
  env: process.env,
  createRuntime: createDenoRuntime,
  unused: {
    host: "deno serve --host decides",
    port: "deno serve --port decides",
    sockets: "deno serve has Deno's own ones",
  },
  unsupported: {},
  readTextFile: (path) => readFileSync(path, "utf8"),
  // Deno Deploy keeps what comes by the console.
  // biome-ignore lint/suspicious/noConsole: the reason is above
  write: (line) => console.log(line),
};

/**
 * Starts the gateway of this process, as its environment says. Ends the process with 1 if it can't be started, and with 0
 * when a signal has stopped it: SIGTERM, or SIGINT, which Deno Deploy sends five seconds before it kills the process.
 */
export async function startDenoServe(): Promise<DenoServeModule> {
  const { config, log, gateway, engine } = await openOrExit();
  void stopOnSignals(gateway, log).then((code) => process.exit(code));
  return {
    fetch: (request, info) => engine.app.fetch(request, info as never),
    onListen: ({ hostname: host = "", port = 0 }) => announce({ ...config, host }, port, log),
  };
}

async function openOrExit(): Promise<EdgeGateway> {
  try {
    const opened = await openGateway(HOST);
    await opened.gateway.start();
    return opened;
  } catch (error) {
    // biome-ignore lint/suspicious/noConsole: as the log
    console.error(reasonOf(error));
    process.exit(EXIT.failed);
  }
}
