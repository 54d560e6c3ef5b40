import { createServer, connect as dial, type Socket } from "node:net";

const DRIP_MS = 20;

/** A TCP proxy whose connections a test can cut, stall and slow down. */
export interface TcpProxy {
  /** The port of the proxy. */
  readonly port: number;
  /** Ends all connections, and each new one at once. */
  cut(): void;
  /** Stalls all connections in both directions without closing them. */
  hold(): void;
  /**
   * Holds back the first ping after a subscription and everything after it: messages of the subscription
   * arrive, and it is not confirmed before `mend`.
   */
  holdConfirmations(): void;
  /** Bounds the speed of what the server sends. */
  slow(bytesPerSecond: number): void;
  /** Undoes all of the above: held data is sent, and new connections pass. */
  mend(): void;
  close(): Promise<void>;
}

/** Starts a proxy on loopback. @param to the port of the server. @param host its address. */
export async function startTcpProxy(to: number, host = "127.0.0.1"): Promise<TcpProxy> {
  let state: "whole" | "cut" | "held" = "whole";
  let holdsConfirmations = false;
  let mostPerSecond = Number.POSITIVE_INFINITY;
  const ends = new Set<Socket>();
  const fars = new WeakSet<Socket>();
  /** Data that is held back, by its destination. */
  const held = new Map<Socket, Buffer[]>();
  /** Tells how many bytes of what a client sends may pass. */
  const sieve = () => {
    let subscribed = false;
    return (data: Buffer): number => {
      const text = data.toString("latin1");
      const from = subscribed ? 0 : text.search(/^SUB /m);
      if (from < 0 || !holdsConfirmations) return data.length;
      subscribed = true;
      const ping = /^PING\r\n/m.exec(text.slice(from));
      return ping === null ? data.length : from + ping.index;
    };
  };
  /** Passes data on in small parts, and reads on when all of it has passed. */
  const drip = (end: Socket, other: Socket, data: Buffer): void => {
    const length = Math.ceil((mostPerSecond * DRIP_MS) / 1000);
    other.write(data.subarray(0, length));
    const rest = data.subarray(length);
    const goOn = () => (rest.length > 0 ? drip(end, other, rest) : end.resume());
    end.pause();
    setTimeout(goOn, DRIP_MS);
  };
  const add = (end: Socket, other: Socket, passes = (data: Buffer) => data.length): void => {
    ends.add(end);
    if (state === "held") end.pause();
    end.on("data", (data: Buffer) => {
      if (mostPerSecond < Number.POSITIVE_INFINITY && fars.has(end)) {
        drip(end, other, data);
        return;
      }
      const kept = held.get(other);
      const length = kept === undefined ? passes(data) : 0;
      if (length < data.length) held.set(other, [...(kept ?? []), data.subarray(length)]);
      if (!other.write(data.subarray(0, length))) end.pause();
    });
    other.on("drain", () => {
      if (state === "whole") end.resume();
    });
    end.on("error", () => {});
    end.once("close", () => {
      ends.delete(end);
      held.delete(end);
      other.destroy();
    });
  };
  const server = createServer((near) => {
    if (state === "cut") {
      near.destroy();
      return;
    }
    const far = dial(to, host);
    fars.add(far);
    add(near, far, sieve());
    add(far, near);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    port: (server.address() as { port: number }).port,
    cut() {
      state = "cut";
      for (const end of ends) end.destroy();
    },
    hold() {
      state = "held";
      for (const end of ends) end.pause();
    },
    holdConfirmations() {
      holdsConfirmations = true;
    },
    slow(bytesPerSecond) {
      mostPerSecond = bytesPerSecond;
    },
    mend() {
      state = "whole";
      mostPerSecond = Number.POSITIVE_INFINITY;
      holdsConfirmations = false;
      for (const [end, kept] of held) for (const data of kept) end.write(data);
      held.clear();
      for (const end of ends) end.resume();
    },
    async close() {
      for (const end of ends) end.destroy();
      await new Promise((closed) => server.close(closed));
    },
  };
}
