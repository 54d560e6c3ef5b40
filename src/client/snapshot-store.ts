import type { Item } from "./item.ts";
import type { Platform } from "./platform.ts";
import { tell } from "./tell.ts";

/** A value that changes, as `useSyncExternalStore` and the stores of other frameworks take it. */
export interface SnapshotStore<S> {
  /** Calls a listener after each change. @returns a function that ends that. */
  subscribe(listener: () => void): () => void;
  /** Returns the value: the same object until it changes. */
  getSnapshot(): S;
}

/** A frame of a screen of 60 Hz, in milliseconds. */
export const FRAME_MS = 16;

/**
 * Folds items into a value. Listeners are called at most once in `everyMs`.
 *
 * @param failed called if the iteration throws.
 */
export function foldInto<T, S>(
  items: AsyncIterable<Item<T>>,
  fold: (state: S, item: Item<T>) => S,
  start: S,
  everyMs: number,
  platform: Pick<Platform, "timer">,
  failed: (error: unknown) => void,
): SnapshotStore<S> {
  const listeners = new Set<() => void>();
  let state = start;
  let shown = start;
  let isDue = false;
  const show = (): void => {
    isDue = false;
    if (Object.is(shown, state)) return;
    shown = state;
    tell(listeners, undefined);
  };
  const run = async (): Promise<void> => {
    for await (const item of items) {
      state = fold(state, item);
      if (isDue) continue;
      isDue = true;
      platform.timer(everyMs, show);
    }
  };
  run().catch(failed);
  return {
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    getSnapshot: () => shown,
  };
}
