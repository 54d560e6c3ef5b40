/** One event, as an `EventSource` dispatches it. */
export interface ReadEvent {
  readonly type: string;
  readonly data: string;
  readonly lastEventId: string;
}

/**
 * Reads a whole event stream as the standard says
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
 */
export function readEventStream(stream: string): ReadEvent[] {
  const events: ReadEvent[] = [];
  let type = "";
  let data = "";
  let lastEventId = "";
  const lines = stream.replace(/^\ufeff/, "").split(/\r\n|\n|\r/);
  // What stands behind the last end of a line is no line yet.
  for (const line of lines.slice(0, -1)) {
    if (line === "") {
      if (data !== "") {
        events.push({ type: type || "message", data: data.slice(0, -1), lastEventId });
      }
      type = "";
      data = "";
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") type = value;
    if (name === "data") data += `${value}\n`;
    if (name === "id" && !value.includes("\0")) lastEventId = value;
  }
  return events;
}
