import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as connectNats } from "nats";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { connect } from "../support/subscriber.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribe, untilReady } from "./support/gateway-fixture.ts";

/** NATS comes and goes; the gateway's clients stay. */
contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  const transports = target.isEdge ? (["ws"] as const) : (["nats", "ws"] as const);
  for (const transport of transports) {
    describe(`NATS over ${transport}://`, () => {
      let server: NatsServer;
      let gateway: Gateway;
      let early: Awaited<ReturnType<typeof subscribe>>;
      const publish = async (subject: string): Promise<void> => {
        const connection = await connectNats({ servers: server.url });
        connection.publish(subject, `"${subject}"`);
        await connection.drain();
      };
      const port = () => (transport === "ws" ? server.wsPort : server.port);
      /** Waits until it is not ready for a reason in which this stands. */
      const untilUnready = (reason: string): Promise<{ status: number; body: string }> =>
        until(
          `503 from /readyz that names ${reason}`,
          async () => {
            const response = await gateway.get("/readyz");
            return { status: response.status, body: await response.text() };
          },
          ({ status, body }) => status === 503 && body.includes(reason),
        );

      beforeAll(async () => {
        server = await startNatsServer();
        // Its ports are known now, and nobody listens on them.
        await server.stop();
        const nats_url = transport === "ws" ? server.wsUrl : server.url;
        gateway = await startGateway(target, { config: { nats_url, subjects: ["n.>"] } });
      });
      afterAll(async () => {
        await gateway?.stop();
        await server?.stop();
      });

      test("Absent at start: the service starts, and /readyz says why it is not ready", async () => {
        const { body } = await untilUnready(String(port()));
        expect(JSON.parse(body)).toEqual({ ready: false, reasons: [expect.any(String)] });
        expect((await gateway.get("/livez")).status).toBe(200);
        early = await subscribe(gateway);
      });

      test("Appearing: /readyz becomes 200, and who was connected before gets messages", async () => {
        await server.restart();
        await untilReady(gateway);
        await publish("n.first");
        expect(await early.next()).toMatchObject({ subject: "n.first", payload: "n.first" });
      });

      test("Lost and back: clients stay connected, and messages flow to them again", async () => {
        await server.stop();
        await untilUnready(String(port()));
        const late = await subscribe(gateway);
        await server.restart();
        await untilReady(gateway);
        await publish("n.again");
        expect(await early.next()).toMatchObject({ subject: "n.again" });
        expect(await late.next()).toMatchObject({ subject: "n.again" });
      });

      test("The log says that NATS was lost and found", async () => {
        const text = gateway.logs.map(({ message }) => message).join("\n");
        expect(text).toMatch(/NATS/);
        expect(gateway.logs.some(({ level }) => level === "WARN" || level === "WARNING")).toBe(
          true,
        );
      });
    });
  }

  describe("NATS with a login", () => {
    let server: NatsServer;
    beforeAll(async () => {
      server = await startNatsServer({
        config: 'authorization { users: [{ user: "gw", password: "s3cret" }] }',
      });
    });
    afterAll(() => server.stop());

    for (const transport of transports) {
      const url = () => (transport === "ws" ? server.wsUrl : server.url);

      test(`User and password over ${transport}:// are accepted`, async () => {
        const config = { nats_url: url(), nats_user: "gw", nats_password: "s3cret" };
        const gateway = await startGateway(target, { config });
        await untilReady(gateway);
        const client = await subscribe(gateway);
        const connection = await connectNats({ servers: server.url, user: "gw", pass: "s3cret" });
        connection.publish("any.subject", "1");
        expect((await client.next()).subject).toBe("any.subject");
        await connection.close();
        await client.close();
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      });

      test(`A wrong password over ${transport}:// is a reason in /readyz, and no secret is told`, async () => {
        const config = { nats_url: url(), nats_user: "gw", nats_password: "wr0ng-one" };
        const gateway = await startGateway(target, { config });
        const ask = async () => (await gateway.get("/readyz")).text();
        const body = await until("reason that tells of the login", ask, (text) =>
          /authoriz/i.test(text),
        );
        expect(body).not.toContain("wr0ng-one");
        const client = await connect(gateway.wsUrl);
        await client.close();
        await gateway.stop();
        expect(JSON.stringify(gateway.logs)).not.toContain("wr0ng-one");
      });
    }
  });
});
