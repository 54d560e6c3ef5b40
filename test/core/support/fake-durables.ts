import type {
  DurableListener,
  DurableMessage,
  DurableQuery,
  Durables,
  Settlement,
} from "../../../src/core/ports/source.ts";
import { ORIGIN } from "./fake-stream.ts";

/** Durables of one stream, to which the test delivers. */
export class FakeDurables implements Durables {
  used = 0;
  /** The listener of the durable that was asked for last. */
  listener: DurableListener | undefined;
  readonly asked: DurableQuery[] = [];
  readonly settled: [string, Settlement][] = [];
  /** The names of the durables that nobody uses any more. */
  readonly released: string[] = [];

  use(query: DurableQuery, listener: DurableListener) {
    this.asked.push(query);
    this.listener = listener;
    return {
      settle: (receipt: string, as: Settlement) => void this.settled.push([receipt, as]),
      resume() {},
      release: () => void this.released.push(query.name),
    };
  }

  /** The durable that was asked for last is there. */
  begin(): void {
    this.listener?.begins({ origin: ORIGIN, sequence: 0, first: 1, isNew: true });
  }

  deliver(sequence: number, subject: string): void {
    const message: DurableMessage = {
      ...{ subject, data: new TextEncoder().encode("1"), deliveries: 1 },
      ...{ position: { origin: ORIGIN, sequence }, receipt: `r${sequence}` },
    };
    this.listener?.message(message);
  }
}
