import { openV1, type V1Client } from "../../test/support/v1-client.ts";
import { SUBJECT } from "../measure/flow.ts";

/** A client that can stop to read, and keeps account of every message: had, or told that it will not have it. */
export class StallingReader {
  got = 0;
  /** In gaps, and superseded by later values. */
  declared = 0;
  readonly #url: string;
  #client: V1Client | undefined;
  #seen = 0;
  #cursor: unknown;
  #failure: unknown;

  constructor(url: string) {
    this.#url = url;
  }

  /** Returns when messages are on their way. */
  async open(): Promise<void> {
    const client = await openV1(this.#url);
    const from = this.#cursor === undefined ? "new" : { after: this.#cursor };
    await client.subscribe("1", [`${SUBJECT}.>`], { from });
    this.#client = client;
    this.#seen = 0;
    client
      .closed()
      .then(() => this.#comeBack(client))
      .catch((error) => {
        this.#failure = error;
      });
  }

  stall(): void {
    this.#client?.raw.pause();
  }

  goOn(): void {
    this.#client?.raw.resume();
  }

  /** Counts what came since. */
  tally(): void {
    if (this.#failure !== undefined) throw this.#failure;
    const entries = this.#client?.said.entries ?? [];
    for (; this.#seen < entries.length; this.#seen++) {
      const { type, superseded, count, cursor } = entries[this.#seen]!;
      if (type === "data") this.got++;
      if (type === "data") this.declared += Number(superseded ?? 0);
      if (type === "gap") this.declared += Number(count);
      if (type === "disconnect") this.#cursor = cursor;
    }
  }

  close(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.raw.destroy();
  }

  async #comeBack(client: V1Client): Promise<void> {
    if (this.#client === undefined) return;
    await client.until(({ type }) => type === "disconnect", "disconnect");
    this.tally();
    await this.open();
  }
}
