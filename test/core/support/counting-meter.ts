import { Ledger } from "../../../src/core/metering/ledger.ts";
import { Meter } from "../../../src/core/metering/meter.ts";

/** A meter whose ledger also counts how often a message was put into a queue. */
export class CountingMeter extends Meter {
  override readonly ledger = new CountingLedger();
}

class CountingLedger extends Ledger {
  queuedEver = 0;

  override queue(bytes: number): void {
    this.queuedEver++;
    super.queue(bytes);
  }
}
