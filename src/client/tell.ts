/**
 * Calls each listener. An error of one stops neither the others nor the connection: it is a rejection that nobody
 * handles, which the runtime reports.
 */
export function tell<Event>(listeners: Iterable<(event: Event) => void>, event: Event): void {
  for (const listener of listeners) {
    try {
      listener(event);
    } catch (error) {
      void Promise.reject(error);
    }
  }
}
