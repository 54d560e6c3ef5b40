import { createServer, connect as dial, type Socket } from "node:net";

/** A TCP connection to a port on loopback that a test may cut and mend. */
export interface Cable {
  /** Where to connect to instead. */
  readonly port: number;
  /** Ends all connections, and every new one at once. */
  cut(): void;
  /** Nothing comes through any more in either direction, and nobody is told. */
  hold(): void;
  /** New connections come through, and what was held goes on. */
  mend(): void;
  close(): Promise<void>;
}

export async function layCable(to: number): Promise<Cable> {
  let state: "whole" | "cut" | "held" = "whole";
  const ends = new Set<Socket>();
  const add = (end: Socket, other: Socket): void => {
    ends.add(end);
    if (state === "held") end.pause();
    end.on("data", (data) => {
      if (!other.write(data)) end.pause();
    });
    other.on("drain", () => {
      if (state === "whole") end.resume();
    });
    end.on("error", () => {});
    end.once("close", () => {
      ends.delete(end);
      other.destroy();
    });
  };
  const server = createServer((near) => {
    if (state === "cut") {
      near.destroy();
      return;
    }
    const far = dial(to, "127.0.0.1");
    add(near, far);
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
    mend() {
      state = "whole";
      for (const end of ends) end.resume();
    },
    async close() {
      for (const end of ends) end.destroy();
      await new Promise((closed) => server.close(closed));
    },
  };
}
