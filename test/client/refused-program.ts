/** Tells the errors of a client that can't open its connection. */
import { createServer } from "node:net";
import { connect, type SpillwayError } from "../../src/client/mod.ts";

function tell(name: string, fact: unknown): void {
  process.stdout.write(`${JSON.stringify({ name, fact })}\n`);
}

/** The error of the first attempt to connect to a port, when the next attempt has begun. */
async function firstError(port: number): Promise<SpillwayError> {
  const errors: SpillwayError[] = [];
  const connection = connect(`ws://127.0.0.1:${port}/ws`, { retry: { firstMs: 1, mostMs: 1 } });
  connection.on("error", (error) => errors.push(error));
  await new Promise<void>((resolve) => {
    connection.on("state", ({ type }) => type === "connecting" && errors.length > 0 && resolve());
  });
  await connection.close();
  return errors[0]!;
}

const server = createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", () =>
    socket.end("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
  );
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as { port: number };
tell("503", (await firstError(port)).message);
await new Promise((resolve) => server.close(resolve));
tell("nobody listens", (await firstError(port)).message);
