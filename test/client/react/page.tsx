/** A page whose markup a server made: a test says what it shows. */
import { StrictMode } from "react";
import { hydrateRoot } from "react-dom/client";
import { type Connection, connect } from "spillway/client";
import { Activity, Boundary, Orders, type OrdersProps } from "./orders.tsx";

/** The names of subscriptions that this page has asked for, and of those that it has ended. */
const asked: string[] = [];
const ended = new Set<string>();

class RecordedSocket extends WebSocket {
  override send(frame: string): void {
    const { type, id, sub } = JSON.parse(frame);
    if (type === "subscribe") asked.push(`${this.url} ${id}`);
    if (type === "unsubscribe") ended.add(`${this.url} ${sub}`);
    super.send(frame);
  }
}

const connections = new Map<string, Connection>();

function connectionTo(url: string): Connection {
  const platform = { WebSocket: RecordedSocket as never };
  const connection = connections.get(url) ?? connect(url, { platform });
  connections.set(url, connection);
  return connection;
}

interface Shown extends Omit<OrdersProps, "connection"> {
  readonly url: string;
  readonly isMounted?: boolean;
  readonly isHidden?: boolean;
}

function App({ url, isMounted = true, isHidden = false, ...props }: Shown) {
  return (
    <StrictMode>
      <Activity mode={isHidden ? "hidden" : "visible"}>
        <Boundary>
          {isMounted ? <Orders connection={connectionTo(url)} {...props} /> : <p>unmounted</p>}
        </Boundary>
      </Activity>
    </StrictMode>
  );
}

const url = new URL(location.href).searchParams.get("gateway")!;
let shown: Shown = { url, subject: "orders.a", label: "" };
const root = hydrateRoot(document.getElementById("root")!, <App {...shown} />);

Object.assign(globalThis, {
  show(change: Partial<Shown>) {
    shown = { ...shown, ...change };
    root.render(<App {...shown} />);
  },
  close: () => connectionTo(shown.url).close(),
  counts: () => ({
    asked: asked.length,
    living: asked.filter((name) => !ended.has(name)).length,
  }),
});
