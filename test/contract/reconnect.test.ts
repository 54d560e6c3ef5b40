import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { TARGETS } from "../support/runtimes.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { openV1, type Said, type V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribeEvents, subscribeV1, untilReady } from "./support/gateway-fixture.ts";
import { untilMetric } from "./support/metrics.ts";
import { useNatsServer } from "./support/nats-server-fixture.ts";

/** More than the kernel keeps for a connection that does not read. */
const FLOOD = { count: 40, bytes: 500_000 };

interface Heard {
  readonly type: string;
  readonly n: number | undefined;
  readonly reason: unknown;
}

function heard(said: Readonly<Record<string, unknown>>): Heard {
  const { type, payload, reason } = said;
  return { type: String(type), n: (payload as { n?: number } | undefined)?.n, reason };
}

/** What stands between the last message before the cut and the first one behind it. */
function around(all: readonly Heard[], last: number, first: number): string[] {
  const from = all.findLastIndex(({ n }) => n === last);
  const to = all.findIndex(({ n }) => n === first);
  return all
    .slice(from + 1, to < 0 ? undefined : to)
    .filter(({ type }) => type !== "slow" && type !== "ok")
    .map(({ type, n, reason }) =>
      type === "data" ? `data ${n}` : `${type} ${reason ?? ""}`.trim(),
    );
}

/**
 * The order of what clients are told when the connection to NATS is lost and comes back. Not on workerd: the proxy reads
 * NATS' protocol, which a WebSocket masks.
 */
contract([...EVERY_RUNTIME, TARGETS["deno-serve"]], (target) => {
  for (const mode of ["at-most-once", "at-least-once"] as const) {
    describe(`After a cut from NATS, ${mode}`, () => {
      const nats = useNatsServer({});
      let proxy: TcpProxy;
      let gateway: Gateway;
      const clients: { destroy(): void }[] = [];
      const publish = async (...numbers: number[]): Promise<void> => {
        for (const n of numbers) nats.connection.publish("cut.x", JSON.stringify({ n }));
        await nats.connection.flush();
      };
      /** Until NATS has somebody to send it to: then some comes before the gateway knows it. */
      const publishToSomebody = async (n: number): Promise<void> => {
        const ask = async (): Promise<string> => {
          const asking = nats.connection.request("cut.x", JSON.stringify({ n }), { timeout: 1000 });
          return await asking.then(
            () => "",
            (error: { code: string }) => error.code,
          );
        };
        await until("subscription to cut.x", ask, (code) => code !== "503");
      };
      beforeAll(async () => {
        proxy = await startTcpProxy(nats.server.port);
        const config = {
          nats_url: `nats://127.0.0.1:${proxy.port}`,
          ...{ subjects: ["cut.>"], delivery_mode: mode, policy: "drop-oldest" },
          ...{ max_queue_bytes: "64MiB", max_inflight_bytes: "64MiB", write_timeout: "1h" },
          // A message that was sent again would stand where the test looks for the gap.
          ack_timeout: "1h",
        };
        gateway = await startGateway(target, { config });
        await untilReady(gateway);
      });
      afterAll(async () => {
        for (const client of clients) client.destroy();
        await gateway?.stop();
        await proxy?.close();
      });
      const join = async (more: object = {}): Promise<V1Client> => {
        const client = await subscribeV1(gateway);
        clients.push(client.raw);
        await client.subscribe("1", ["cut.>"], more);
        return client;
      };

      test("the gap stands before the first message that follows the loss, for every kind of client", async () => {
        const live = await join();
        const paced = await join({ max_rate: 1 });
        const lagging = await join();
        const events = await subscribeEvents(gateway);
        clients.push(events);
        await events.next("subscribed");
        let session: string | undefined;
        if (mode === "at-least-once") {
          const leaver = await join();
          session = String(leaver.notices("welcome")[0]!.session);
          leaver.raw.destroy();
          await untilMetric(gateway, "websocket_sessions_parked", (parked) => parked === 1);
        }
        await publish(1);
        for (const client of [live, paced, lagging]) {
          await client.until((said) => heard(said).n === 1, "message 1");
        }
        lagging.raw.pause();
        const data = new Uint8Array(FLOOD.bytes).fill(48);
        for (let n = 0; n < FLOOD.count; n++) nats.connection.publish("cut.flood", data);
        // Held back for the paced client, and the last before the cut for all others.
        await publish(2, 97);
        await live.until((said) => heard(said).n === 97, "message 97");

        proxy.cut();
        await live.until(({ state }) => state === "disconnected", "word of the cut");
        await publish(98);
        proxy.mend();
        proxy.holdConfirmations();
        await publishToSomebody(99);
        await publish(100, 101);
        proxy.mend();
        await live.until((said) => heard(said).n === 101, "message 101");
        lagging.raw.resume();
        const all: [string, () => Said[]][] = [
          ["live", () => [...live.said.entries]],
          ["paced", () => [...paced.said.entries]],
          ["lagging", () => [...lagging.said.entries]],
        ];
        for (const client of [paced, lagging]) {
          await client.until((said) => heard(said).n === 101, "message 101");
        }
        if (session !== undefined) {
          const back = await openV1(`${gateway.wsUrl}?session=${session}`);
          clients.push(back.raw);
          await back.until((said) => heard(said).n === 101, "message 101");
          all.push(["parked", () => [...back.said.entries]]);
        }
        await events.events.find(({ data }) => data.includes('"n":101'), "message 101");
        all.push(["sse", () => events.events.entries.map(({ data }) => JSON.parse(data) as Said)]);
        for (const [who, said] of all) {
          // What a paced client is held back for comes when its window is over, or right before the gap.
          const isPaced = who === "paced";
          const expected = [...(isPaced ? [] : ["upstream", "upstream"]), "gap upstream"];
          const between = around(said().map(heard), 97, isPaced ? 101 : 99).filter(
            (one) => !isPaced || one !== "upstream",
          );
          expect([who, between]).toEqual([who, expected]);
        }
      });
    });
  }
});
