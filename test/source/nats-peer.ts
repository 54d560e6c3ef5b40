import { connect, type NatsConnection } from "nats";

/** A request of the gateway. */
export interface PeerRequest {
  readonly subject: string;
  readonly body: string;
  /** Sends an answer. @param lines of the headers, the version first, without their ends. @param reply the subject for answers to this one. */
  answer(data: string, lines?: readonly string[], reply?: string): void;
}

/** A server of NATS whose JetStream does as a test says. `nats-server` lets no client pretend to be JetStream. */
export interface NatsPeer {
  /** A connection to it. */
  readonly connection: NatsConnection;
  stop(): Promise<void>;
}

const VERSION = "2.12.0";

/** Starts the server, which calls back for each message that is published with a reply subject. */
export async function startNatsPeer(requested: (request: PeerRequest) => void): Promise<NatsPeer> {
  /** By its first tokens, the number of a subscription. */
  const subscriptions = new Map<string, string>();
  let text = "";
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        const info = { server_id: "peer", version: VERSION, headers: true, max_payload: 2 ** 20 };
        socket.write(`INFO ${JSON.stringify({ ...info, proto: 1 })}\r\n`);
      },
      data(socket, data) {
        text += data.toString("latin1");
        for (;;) {
          const end = text.indexOf("\r\n");
          if (end === -1) return;
          const [verb, subject = "", ...rest] = text.slice(0, end).split(" ");
          const isMessage = verb === "PUB";
          const length = isMessage ? Number(rest.at(-1)) + 2 : 0;
          const body = text.slice(end + 2, end + 2 + length);
          if (body.length < length) return;
          text = text.slice(end + 2 + length);
          if (verb === "PING") socket.write("PONG\r\n");
          else if (verb === "SUB") subscriptions.set(subject.replace(/\.\*$/, ""), rest.at(-1)!);
          else if (isMessage && rest.length === 2) {
            const [inbox = ""] = rest;
            const id = subscriptions.get(inbox) ?? subscriptions.get(inbox.replace(/\.[^.]+$/, ""));
            const answer = (data: string, lines: readonly string[] = [], reply = ""): void => {
              const head = lines.length === 0 ? "" : `${lines.join("\r\n")}\r\n\r\n`;
              const sizes = head === "" ? "" : `${head.length} `;
              const verb = head === "" ? "MSG" : "HMSG";
              const names = [inbox, id, reply].filter(Boolean).join(" ");
              socket.write(
                `${verb} ${names} ${sizes}${head.length + data.length}\r\n${head}${data}\r\n`,
              );
            };
            requested({ subject, body: body.slice(0, -2), answer });
          }
        }
      },
    },
  });
  const connection = await connect({ servers: `127.0.0.1:${server.port}` });
  return {
    connection,
    async stop() {
      await connection.close();
      server.stop(true);
    },
  };
}
