/**
 * Streams in React 18 and newer, on pages and on servers.
 *
 * ```tsx
 * function Prices() {
 *   const { value } = useStream(connection, "prices.>", { fold: latest, start: {}, from: "last_per_subject" });
 *   return <Table rows={value} />;
 * }
 * ```
 *
 * @module
 */
import { useInsertionEffect, useMemo, useRef, useSyncExternalStore } from "react";
import type { Connection } from "./connection.ts";
import { SpillwayError } from "./errors.ts";
import type { Item } from "./item.ts";
import type { ConnectionState } from "./link.ts";
import { currentPlatform } from "./platform.ts";
import { FRAME_MS, foldInto, type SnapshotStore } from "./snapshot-store.ts";
import type { SubscribeOptions } from "./subscription.ts";

export interface StreamOptions<T, S> extends Omit<SubscribeOptions<T>, "signal"> {
  /** Returns the next value; another object than before if it has changed. The one of the latest render is called. */
  readonly fold: (value: S, item: Item<T>) => S;
  /** The first value, and the value on a server. */
  readonly start: S;
  /** The component renders at most once in this time, in milliseconds. Default: 16, the frame of a screen. */
  readonly everyMs?: number;
}

/** The state of a stream, as a component shows it. */
export interface StreamState<S> {
  readonly value: S;
  /** Set if no more messages come: the gateway refused the subscription or closed the connection for good. */
  readonly error: SpillwayError | undefined;
}

const CONNECTING: ConnectionState = { type: "connecting" };

/** Folds a stream for as long as a component listens. If it listens again, the stream continues after the last item. */
class FoldedStream<T, S> implements SnapshotStore<StreamState<S>> {
  readonly #connection: Connection | undefined;
  readonly #subjects: string | readonly string[];
  readonly #options: SubscribeOptions<T>;
  readonly #everyMs: number;
  readonly #fold: (value: S, item: Item<T>) => S;
  #value: S;
  #shown: StreamState<S>;
  /** Holds the value that `fold` or the schema has thrown. */
  #thrown: { readonly error: unknown } | undefined;
  /** The last message that the value has. */
  #cursor: string | undefined;

  constructor(
    connection: Connection | undefined,
    subjects: string | readonly string[],
    { fold: _, start, everyMs = FRAME_MS, ...options }: StreamOptions<T, S>,
    fold: (value: S, item: Item<T>) => S,
  ) {
    this.#connection = connection;
    this.#subjects = subjects;
    this.#options = options;
    this.#everyMs = everyMs;
    this.#fold = fold;
    this.#value = start;
    this.#shown = { value: start, error: undefined };
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    let isOver = false;
    const fail = (error: unknown): void => {
      if (isOver) return;
      isOver = true;
      if (error instanceof SpillwayError) this.#shown = { value: this.#value, error };
      else this.#thrown = { error };
      listener();
    };
    try {
      const subscription = this.#connection?.subscribe<T>(this.#subjects, this.#resumed());
      if (subscription === undefined) return () => {};
      const store = foldInto(
        subscription,
        (value, item) => {
          // The subscription was closed while the loop waited for this item, which comes again.
          if (isOver) return value;
          this.#value = this.#fold(value, item);
          if ("id" in item) this.#cursor = item.id;
          return this.#value;
        },
        this.#value,
        this.#everyMs,
        currentPlatform(),
        fail,
      );
      store.subscribe(() => {
        if (isOver) return;
        this.#shown = { value: store.getSnapshot(), error: undefined };
        listener();
      });
      return () => {
        isOver = true;
        subscription.close();
        this.#shown = { value: this.#value, error: undefined };
      };
    } catch (error) {
      fail(error);
      return () => {};
    }
  };

  readonly getSnapshot = (): StreamState<S> => {
    if (this.#thrown !== undefined) throw this.#thrown.error;
    return this.#shown;
  };

  #resumed(): SubscribeOptions<T> {
    const after = this.#cursor;
    return after === undefined ? this.#options : { ...this.#options, from: { after } };
  }
}

/**
 * Subscribes for as long as the component is mounted, and folds the messages into a value. Another connection, other
 * subjects or other options subscribe anew, from `start`; a `fold`, `schema` or `start` written in place don't.
 *
 * @param connection `undefined` where there is none, as on a server or before the login.
 * @throws what `fold` throws, in the render of the component: an error boundary takes it.
 */
export function useStream<T = unknown, S = unknown>(
  connection: Connection | undefined,
  subjects: string | readonly string[],
  options: StreamOptions<T, S>,
): StreamState<S> {
  const latest = useRef(options.fold);
  useInsertionEffect(() => {
    latest.current = options.fold;
  });
  const { fold: _, start: __, schema: ___, ...rest } = options;
  const key = JSON.stringify([subjects, rest]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the subjects and the options.
  const stream = useMemo(
    () =>
      new FoldedStream<T, S>(connection, subjects, options, (value, item) =>
        latest.current(value, item),
      ),
    [connection, key],
  );
  // The server has the first value, and so has the first render of a page that takes over its markup.
  return useSyncExternalStore(stream.subscribe, stream.getSnapshot, stream.getSnapshot);
}

/** Returns where a connection stands. On a server: `connecting`. */
export function useConnectionState(connection: Connection | undefined): ConnectionState {
  const subscribe = useMemo(
    () => (listener: () => void) => connection?.on("state", listener) ?? (() => {}),
    [connection],
  );
  return useSyncExternalStore(
    subscribe,
    () => connection?.state ?? CONNECTING,
    () => CONNECTING,
  );
}
