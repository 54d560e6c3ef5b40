import { createParser } from "eventsource-parser";

/** An event, as `EventSource` dispatches it. */
export interface ServerEvent {
  /** `"message"` if the server named none. */
  readonly type: string;
  /** The last id that came, with this event or before it. */
  readonly id: string;
  readonly data: string;
}

/**
 * Parses an event stream, and keeps the last id from event to event, as `EventSource` does and
 * eventsource-parser leaves to its caller. Throws on a line that the standard doesn't know.
 */
export class EventParser {
  /** The last reconnection time that the server gave, in milliseconds. */
  retryMs: number | undefined;
  #id = "";
  readonly #parser;

  constructor(
    onEvent: (event: ServerEvent) => void,
    onComment: (comment: string) => void = () => {},
  ) {
    this.#parser = createParser({
      onEvent: ({ event, id, data }) => {
        this.#id = id ?? this.#id;
        onEvent({ type: event ?? "message", id: this.#id, data });
      },
      onComment,
      onRetry: (ms) => {
        this.retryMs = ms;
      },
      onError: (error) => {
        throw error;
      },
    });
  }

  push(text: string): void {
    this.#parser.feed(text);
  }
}

/** The events of a whole stream. An event without its empty line at the end is not one yet. */
export function readEvents(stream: string): ServerEvent[] {
  const events: ServerEvent[] = [];
  new EventParser((event) => events.push(event)).push(stream);
  return events;
}
