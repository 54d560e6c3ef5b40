import { expect } from "bun:test";
import { Broadcaster, type BroadcasterOptions } from "../../src/core/broadcaster.ts";
import type { Client } from "../../src/core/client.ts";
import { EnvelopeEncoder } from "../../src/core/envelope.ts";
import type { Log } from "../../src/core/log.ts";
import { Meter } from "../../src/core/meter.ts";
import { FakeFanout, FakeSocket } from "./fake-sockets.ts";
import { ManualClock } from "./manual-clock.ts";

const OPTIONS: BroadcasterOptions = {
  maxClients: 1000,
  flushIntervalMs: 1,
  highWaterBytes: 1000,
  lowWaterBytes: 200,
  maxQueueBytes: 4000,
  maxQueueMessages: 100,
  writeTimeoutMs: 5000,
  pingIntervalMs: 30_000,
  readTimeoutMs: 60_000,
  maxFrameBytes: 1024,
  maxMalformedFrames: 2,
};

/** A broadcaster with everything around it fake. */
export class Stage {
  readonly clock = new ManualClock();
  readonly fanout = new FakeFanout();
  readonly meter = new Meter();
  /** The warnings that were logged. */
  readonly warnings: Record<string, unknown>[] = [];
  readonly log: Log = {
    debug() {},
    info() {},
    warn: (_, properties = {}) => void this.warnings.push(properties),
    error() {},
  };
  readonly broadcaster: Broadcaster;
  readonly encoder: EnvelopeEncoder;

  constructor(options: Partial<BroadcasterOptions> = {}) {
    this.encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: [] });
    this.broadcaster = new Broadcaster(
      { ...OPTIONS, ...options },
      {
        clock: this.clock,
        fanout: this.fanout,
        meter: this.meter,
        encoder: this.encoder,
        log: this.log,
      },
    );
    this.broadcaster.open();
  }

  /** Lets a client in whose `closed` event follows each close, unless `lingers`. */
  join(subjects?: readonly string[], lingers = false): { client: Client; socket: FakeSocket } {
    const socket = new FakeSocket(this.fanout);
    const client = this.broadcaster.accept(socket, subjects);
    if (!lingers) {
      socket.onClose = () => client.closed(1005);
      if (socket.closedWith !== undefined) client.closed(1005);
    }
    return { client, socket };
  }

  /** Publishes a JSON payload. */
  publish(payload: unknown, subject = "a"): void {
    this.broadcaster.publish({ subject, data: new TextEncoder().encode(JSON.stringify(payload)) });
  }

  /** `offered = sent + queued + dropped`, and as many clients came as went and are here. */
  expectBalance(): void {
    const { meter } = this;
    expect(meter.offered).toBe(meter.sent + meter.queued + meter.droppedTotal());
    const gone = [...meter.disconnections.values()].reduce((sum, count) => sum + count, 0);
    expect(meter.clientsTotal).toBe(gone + meter.clientsActive);
  }
}
