import { readFile } from "node:fs/promises";
import { within } from "./event-log.ts";
import type { Gateway } from "./gateway-process.ts";

const PAGE_BYTES = 4096;

/** What a process has in memory, in bytes; `undefined` where there is no `/proc`. */
export async function residentBytes(pid: number): Promise<number | undefined> {
  const statm = await readFile(`/proc/${pid}/statm`, "utf8").catch(() => undefined);
  return statm === undefined ? undefined : Number(statm.split(" ")[1]) * PAGE_BYTES;
}

/** The environment that lets {@linkcode keptBytes} look into a gateway on Node. */
export const INSPECTABLE = { NODE_OPTIONS: "--inspect=127.0.0.1:0" };

/** Collects the garbage of a gateway on Node that was started with {@linkcode INSPECTABLE}, and returns what its objects and their buffers take, in bytes. */
export async function keptBytes(gateway: Gateway): Promise<number> {
  const [, url] = /Debugger listening on (ws:\S+)/.exec(gateway.output) ?? [];
  const socket = new WebSocket(url!);
  try {
    const opened = new Promise((resolve) => socket.addEventListener("open", resolve));
    await within(opened, "connection to the inspector");
    let lastId = 0;
    // https://chromedevtools.github.io/devtools-protocol/v8
    const call = async (method: string, params = {}): Promise<InspectorAnswer> => {
      const id = ++lastId;
      const answer = new Promise<InspectorAnswer>((resolve) => {
        socket.addEventListener("message", ({ data }) => {
          const message = JSON.parse(String(data)) as InspectorAnswer & { id?: number };
          if (message.id === id) resolve(message);
        });
      });
      socket.send(JSON.stringify({ id, method, params }));
      return await within(answer, `answer to ${method}`);
    };
    await call("HeapProfiler.collectGarbage");
    const expression = "process.memoryUsage().heapUsed + process.memoryUsage().external";
    const { result } = await call("Runtime.evaluate", { expression });
    return result.result.value;
  } finally {
    socket.close();
  }
}

interface InspectorAnswer {
  readonly result: { readonly result: { readonly value: number } };
}
