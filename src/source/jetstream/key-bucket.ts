import type { Log } from "../../core/ports/log.ts";
import type { SourceListener, SourceMessage } from "../../core/ports/source.ts";
import { BucketLife, type BucketNeeds } from "./bucket-life.ts";
import { FollowedStream } from "./followed-stream.ts";
import type { StreamApi } from "./stream-api.ts";

/** Takes what is written into a key-value bucket. */
export interface KeyListener {
  /**
   * A key was written or deleted; each key that the bucket has comes once at the beginning.
   *
   * @param data `undefined` if it was deleted.
   * @param madeMs when, in Unix milliseconds.
   */
  changed(key: string, data: Uint8Array | undefined, madeMs: number): void;
  /**
   * The bucket was described, before its first entry comes and now and then afterwards.
   *
   * @param isLongEnough whether it keeps an entry as long as it is needed.
   */
  lifeChecked?(isLongEnough: boolean): void;
}

/** A key-value bucket that the gateway reads. */
export interface BucketRead {
  readonly name: string;
  readonly needs: BucketNeeds;
  readonly listener: KeyListener;
}

/** Reads a key-value bucket (ADR-8) from the first entry on, and follows it. */
export class KeyBucket {
  readonly name: string;
  readonly #stream: FollowedStream;
  readonly #listener: KeyListener;
  readonly #prefix: string;
  readonly #life: BucketLife;
  #wasRead = false;

  constructor({ name, needs, listener }: BucketRead, log: Log) {
    this.name = name;
    this.#listener = listener;
    this.#prefix = `$KV.${name}.`;
    const input = { name: `KV_${name}`, subjects: [`${this.#prefix}>`] };
    this.#life = new BucketLife(name, needs, log);
    this.#stream = new FollowedStream(input, log, {
      fromFirst: true,
      howToMake: this.#life.howToMake,
      described: ({ maxAgeMs }) => {
        const isLongEnough = this.#life.check(maxAgeMs);
        listener.lifeChecked?.(isLongEnough);
      },
    });
  }

  /** Whether everything that it has was read once. */
  get wasRead(): boolean {
    const { isFollowed, lag } = this.#stream.status;
    this.#wasRead ||= isFollowed && lag === 0;
    return this.#wasRead;
  }

  /** Why it isn't followed, in words for people. */
  get problem(): string | undefined {
    return this.#stream.problem;
  }

  /** The reason why its entries end too soon, in words for people. */
  get lifeProblem(): string | undefined {
    return this.#life.problem;
  }

  /** Returns the subject of a key. */
  subjectOf(key: string): string {
    return this.#prefix + key;
  }

  /** Follows it on a connection, until `close`. */
  async open(api: StreamApi, source: SourceListener): Promise<void> {
    await this.#stream.open(api, {
      message: (message) => this.#take(message),
      fault: (kind, detail) => source.fault(kind, detail),
      status: () => {},
      arrives: () => {},
      refused: () => {},
      stream: () => {},
      streamRefused: () => {},
    });
  }

  close(): void {
    this.#stream.close();
  }

  #take({ subject, data, operation, timestampMs = 0 }: SourceMessage): void {
    if (!subject.startsWith(this.#prefix)) return;
    const key = subject.slice(this.#prefix.length);
    this.#listener.changed(key, operation === undefined ? data : undefined, timestampMs);
  }
}
