/**
 * Runs the example of a Cloudflare Worker in workerd: `workerd-program.ts <port>`. Its variables are those of this
 * process. Says in the form of the service's log where it listens. Ends with 0 on SIGTERM.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Readable } from "node:stream";
import { bundle } from "../../scripts/bundle.ts";
import { ROOT } from "../../scripts/installed.ts";
import { parseJson } from "../../src/config/json-text.ts";
import { findWorkerd } from "./runtimes.ts";

const EXAMPLE = "examples/cloudflare/";

/** The part of wrangler's configuration that workerd's own one needs. */
interface WranglerConfig {
  readonly main: string;
  readonly compatibility_date: string;
  readonly durable_objects: {
    readonly bindings: readonly { readonly name: string; readonly class_name: string }[];
  };
}

const [port = "0"] = process.argv.slice(2);
const wrangler = readWrangler();
const directory = mkdtempSync(join(tmpdir(), "spillway-workerd-"));
writeFileSync(
  join(directory, "worker.js"),
  bundle({ file: EXAMPLE + wrangler.main, format: "worker" }),
);
writeFileSync(join(directory, "config.capnp"), configOf(wrangler));
const child = spawn(
  findWorkerd(),
  [
    ...["serve", join(directory, "config.capnp")],
    ...["--socket-addr", `http=127.0.0.1:${port}`, "--control-fd=3"],
  ],
  { stdio: ["ignore", "inherit", "inherit", "pipe"] },
);
let isStopping = false;
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    isStopping = true;
    // Cloudflare ends a Durable Object without telling it. With a milder signal, workerd waits for all connections.
    child.kill("SIGKILL");
  });
}
child.once("exit", (code) => {
  rmSync(directory, { recursive: true, force: true });
  process.exit(isStopping ? 0 : (code ?? 1));
});
const [, listens] = child.stdio.slice(2) as [unknown, Readable];
listens.on("data", (data: Buffer) => {
  for (const line of data.toString().split("\n")) announce(line);
});

function announce(line: string): void {
  if (!line.includes('"listen"')) return;
  const properties = { event: "listening", port: JSON.parse(line).port, path: "/ws" };
  process.stdout.write(`${JSON.stringify({ level: "INFO", message: "Listening", properties })}\n`);
}

function readWrangler(): WranglerConfig {
  const json = parseJson(readFileSync(`${ROOT}${EXAMPLE}wrangler.jsonc`, "utf8"));
  if ("fault" in json) throw new Error(`wrangler.jsonc: ${json.fault}`);
  return json.value as WranglerConfig;
}

function configOf({ compatibility_date, durable_objects }: WranglerConfig): string {
  const objects = durable_objects.bindings;
  const variables = Object.keys(process.env).filter((name) => /^(SPILLWAY|NATS|TEST)_/.test(name));
  const bindings = [
    ...objects.map(
      ({ name, class_name }) => `(name = "${name}", durableObjectNamespace = "${class_name}")`,
    ),
    ...variables.map((name) => `(name = "${name}", fromEnvironment = "${name}")`),
  ];
  const namespaces = objects.map(
    ({ class_name: name }) => `(className = "${name}", uniqueKey = "${name}")`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "${compatibility_date}",
      bindings = [${bindings.join(", ")}],
      durableObjectNamespaces = [${namespaces.join(", ")}],
      durableObjectStorage = (inMemory = void),
    )),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`;
}
