/**
 * Publishes with headers as they stand there, which no NATS client would: `lines` are without their ends.
 * Returns when the server has taken it.
 */
export async function publishWithHeaders(
  port: number,
  subject: string,
  lines: readonly (string | Uint8Array)[],
  data = "",
): Promise<void> {
  const encoder = new TextEncoder();
  const bytes = (text: string | Uint8Array): Uint8Array =>
    typeof text === "string" ? encoder.encode(text) : text;
  const headers = Buffer.concat([
    ...lines.flatMap((line) => [bytes(line), bytes("\r\n")]),
    bytes("\r\n"),
  ]);
  const body = bytes(data);
  const command = `HPUB ${subject} ${headers.length} ${headers.length + body.length}\r\n`;
  await sendRaw(port, Buffer.concat([bytes(command), headers, body, bytes("\r\n")]));
}

/** Sends NATS' protocol byte for byte, and returns when the server has answered a ping behind it. */
export async function sendRaw(port: number, protocol: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const left: Uint8Array[] = [
    Buffer.from('CONNECT {"verbose":false,"headers":true}\r\n'),
    protocol,
    Buffer.from("PING\r\n"),
  ];
  let rest: Uint8Array = Buffer.concat(left);
  const write = (socket: { write(data: Uint8Array): number }): void => {
    rest = rest.subarray(socket.write(rest));
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: write,
      drain: write,
      data: (_, data) => {
        const text = new TextDecoder().decode(data);
        if (text.includes("PONG")) resolve();
        if (text.includes("-ERR")) reject(new Error(text));
      },
    },
  });
  await promise;
  socket.end();
}
