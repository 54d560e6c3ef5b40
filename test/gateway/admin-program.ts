/** A host whose gateway has a port for operators. `admin-runtimes.test.ts` runs it on each runtime. */
import process from "node:process";
import { createGateway } from "../../src/mod.ts";

const gateway = await createGateway(
  { admin_port: Number(process.env.ADMIN_PORT), sockets: "node" },
  { log: { debug() {}, info() {}, warn() {}, error() {} } },
);
process.on("SIGTERM", () => void gateway.stop());
await gateway.start();
process.stdout.write("started\n");
