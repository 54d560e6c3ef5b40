import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { startProcess } from "../support/child-process.ts";
import { until } from "../support/event-log.ts";
import { freePort } from "../support/free-port.ts";
import { RUNTIMES } from "../support/host-program.ts";
import { CAN_LIMIT, useUpFiles } from "../support/process-limits.ts";
import { answerOf } from "../support/raw-http.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

const PROGRAM = "test/gateway/admin-program.ts";

describe.each(RUNTIMES)("The port for operators of a gateway mounted on %s", (name) => {
  test.skipIf(!CAN_LIMIT)(
    "takes connections again after a moment without file descriptors",
    async () => {
      const port = await freePort();
      const command = TARGETS[name].command();
      const host = await startProcess(
        name,
        command.map((word) => (word === "src/server.ts" ? PROGRAM : word)),
        { cwd: ROOT, env: { PATH: process.env.PATH ?? "", ADMIN_PORT: `${port}` } },
      );
      await host.lines.find(({ text }) => text === "started", "start");
      const reader = connect({ host: "127.0.0.1", port });
      let answers = 0;
      reader.on("data", () => answers++);
      const askOnOpenConnection = async (): Promise<void> => {
        const before = answers;
        reader.write("GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        await until(
          "an answer on an open connection",
          async () => answers,
          (count) => count > before,
        );
      };
      await askOnOpenConnection();
      for (let round = 0; round < 3; round++) {
        const free = useUpFiles(host.pid);
        const other = connect({ host: "127.0.0.1", port }).on("error", () => {});
        // After this answer, the gateway has tried to accept the other connection.
        await askOnOpenConnection();
        free();
        other.destroy();
        await until(
          "an answer on a new connection",
          () => answerOf(`http://127.0.0.1:${port}/livez`),
          (status) => status === 200,
        );
      }
      reader.destroy();
      expect(await host.stop()).toEqual({ code: 0, signal: null });
    },
  );
});
