/**
 * The part of React that `react.ts` uses, for builds without its types: installs from git bring no packages of tests. Where
 * these are, `paths` in tsconfig.json finds the true types first.
 */
export function useInsertionEffect(effect: () => void): void;
export function useMemo<T>(make: () => T, dependencies: readonly unknown[]): T;
export function useRef<T>(value: T): { current: T };
export function useSyncExternalStore<T>(
  subscribe: (listener: () => void) => () => void,
  getSnapshot: () => T,
  getServerSnapshot: () => T,
): T;
