/**
 * Keeps the place of each subscription, so that another connection, or the page after a reload, resumes there. A store
 * that throws is ignored: the subscription then begins where `from` says.
 */
export interface CursorStore {
  /** Returns what was kept under a key: a cursor, with the subjects that have ended before it. */
  get(key: string): string | null | undefined;
  set(key: string, cursor: string): void;
}

/** Keeps cursors as long as this object lives. */
export class MemoryCursors extends Map<string, string> {}

/** The part of `sessionStorage` or `localStorage` that {@linkcode webStorageCursors} needs. */
interface StorageLike {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/**
 * Keeps cursors in Web storage: they survive a reload of the page, and with `localStorage` also its tab. A tab resumes
 * where it was itself only with `sessionStorage`.
 *
 * @param storage returns the storage; called for each access, as the browser may forbid it.
 * @param prefix of the keys. Default: `spillway:`.
 */
export function webStorageCursors(
  storage: () => StorageLike = () => sessionStorage,
  prefix = "spillway:",
): CursorStore {
  return {
    get: (key) => storage().getItem(prefix + key),
    set: (key, cursor) => storage().setItem(prefix + key, cursor),
  };
}

/** Runs what may throw. @returns its result, or `undefined`. */
export function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}
