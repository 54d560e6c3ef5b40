import { startProcess } from "../../test/support/child-process.ts";
import { ensureNode } from "../../test/support/node-binary.ts";
import { ROOT } from "../../test/support/runtimes.ts";

/** A process of the load, which answers in lines of JSON. */
export interface LoadProcess {
  next<T>(deadlineMs?: number): Promise<T>;
  stop(): Promise<unknown>;
}

/** Starts a process of ours on Node, which is told what to do in its argument. */
export async function startLoad(name: string, file: string, task: object): Promise<LoadProcess> {
  const command = [ensureNode("node"), `bench/load/${file}`, JSON.stringify(task)];
  const running = await startProcess(name, command, { cwd: ROOT });
  return {
    async next<T>(deadlineMs?: number): Promise<T> {
      const { stream, text } = await running.lines.next("line", deadlineMs);
      if (stream === "stdout") return JSON.parse(text) as T;
      await running.exited;
      throw new Error(running.lines.entries.map((line) => line.text).join("\n"));
    },
    stop: () => running.stop(),
  };
}
