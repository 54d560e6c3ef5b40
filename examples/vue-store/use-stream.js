import { onScopeDispose, shallowRef } from "vue";

/**
 * Folds a stream into a value for as long as a component lives.
 *
 * @param fold returns the next value.
 * @param start the first value.
 * @param options those of `connection.subscribe`.
 */
export function useStream(connection, subjects, { fold, start, ...options }) {
  const subscription = connection.subscribe(subjects, options);
  const store = subscription.snapshot(fold, start);
  const value = shallowRef(start);
  store.subscribe(() => {
    value.value = store.getSnapshot();
  });
  onScopeDispose(() => subscription.close());
  return value;
}
