import { createServer, connect as dial, type Socket } from "node:net";

const DRIP_MS = 20;

/** A TCP connection to a port on loopback that a test may cut and mend. */
export interface TcpProxy {
  /** Where to connect to instead. */
  readonly port: number;
  /** Ends all connections, and every new one at once. */
  cut(): void;
  /** Nothing comes through any more in either direction, and nobody is told. */
  hold(): void;
  /**
   * From now on, the first ping behind a subscription does not reach the other end, nor does what follows
   * it: what was subscribed to comes, and is not confirmed before `mend`.
   */
  holdConfirmations(): void;
  /** From now on, what the other end says comes no faster than that. */
  slow(bytesPerSecond: number): void;
  /** New connections come through, and what was held goes on. */
  mend(): void;
  close(): Promise<void>;
}

export async function startTcpProxy(to: number): Promise<TcpProxy> {
  let state: "whole" | "cut" | "held" = "whole";
  let holdsConfirmations = false;
  let mostPerSecond = Number.POSITIVE_INFINITY;
  const ends = new Set<Socket>();
  const fars = new WeakSet<Socket>();
  /** What is kept from going on, by the end that it was for. */
  const held = new Map<Socket, Buffer[]>();
  /** How much of what a client says may go on. */
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
  /** Hands on what an end has said bit by bit, and hears it again then. */
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
    const far = dial(to, "127.0.0.1");
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
