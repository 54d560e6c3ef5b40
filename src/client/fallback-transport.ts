import { type EventsOptions, serverSentEvents } from "./sse-transport.ts";
import type { OpenTransport, TransportEvents } from "./transport.ts";
import { openWebSocket } from "./websocket-transport.ts";

/** After so many WebSockets that could not be opened, server-sent events are tried. */
const MOST_FAILURES = 2;
/** While server-sent events are used, a WebSocket is tried again each time this has passed. */
const TRY_AGAIN_MS = 300_000;
/** A WebSocket that is given up this long after its begin could not be opened. */
const GIVEN_UP_MS = 10_000;

/** Passes events on, and tells when a gateway has answered, or the transport has ended. */
function watched(events: TransportEvents, opened: () => void, ended: () => void): TransportEvents {
  return {
    frame(frame) {
      if (frame.type === "welcome") opened();
      events.frame(frame);
    },
    close(code, reason) {
      ended();
      events.close(code, reason);
    },
  };
}

/**
 * Opens a WebSocket. If it can't be opened twice in a row, and the gateway answers to `fetch`, uses server-sent events
 * ({@linkcode serverSentEvents}), and a WebSocket again as soon as one can be opened, which is tried every five minutes.
 *
 * ```ts
 * const connection = connect(url, { transport: webSocketOrEvents() });
 * ```
 */
export function webSocketOrEvents(options: EventsOptions = {}): OpenTransport {
  const openEvents = serverSentEvents(options);
  let failures = 0;
  let triedMs = 0;

  const openSocket: OpenTransport = (target, events, platform) => {
    triedMs = platform.now();
    const startedMs = triedMs;
    let isOpen = false;
    const failed = (): void => {
      if (!isOpen) failures++;
      isOpen = true;
    };
    const opened = (): void => {
      isOpen = true;
      failures = 0;
    };
    let socket: ReturnType<OpenTransport>;
    try {
      socket = openWebSocket(target, watched(events, opened, failed), platform);
    } catch (error) {
      failed();
      throw error;
    }
    return {
      send: (frame) => socket.send(frame),
      close(code, reason) {
        if (platform.now() - startedMs >= GIVEN_UP_MS) failed();
        socket.close(code, reason);
      },
    };
  };

  return (target, events, platform) => {
    const isDue = platform.now() - triedMs >= TRY_AGAIN_MS;
    if (failures < MOST_FAILURES || isDue || platform.fetch === undefined) {
      return openSocket(target, events, platform);
    }
    // If the gateway can't be reached this way either, a WebSocket is next.
    failures = MOST_FAILURES - 1;
    let probe: ReturnType<OpenTransport> | undefined;
    let cancel = (): void => {};
    const end = (): void => {
      cancel();
      probe?.close(1000, "");
      probe = undefined;
    };
    const tryAgain = (): void => {
      cancel = platform.timer(TRY_AGAIN_MS, () => {
        const ignored = { frame() {}, close() {} };
        try {
          end();
          probe = openSocket(
            target,
            watched(ignored, goBack, () => {}),
            platform,
          );
        } catch {
          // There is no WebSocket.
        }
        tryAgain();
      });
    };
    const transport = openEvents(
      target,
      watched(
        events,
        () => {
          failures = MOST_FAILURES;
          tryAgain();
        },
        end,
      ),
      platform,
    );
    const goBack = (): void => {
      end();
      transport.close(1000, "");
      events.close(1006, "a WebSocket can be opened again");
    };
    return {
      send: (frame) => transport.send(frame),
      close(code, reason) {
        end();
        transport.close(code, reason);
      },
    };
  };
}
