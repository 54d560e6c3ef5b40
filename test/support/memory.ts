import { readFile } from "node:fs/promises";

const PAGE_BYTES = 4096;

/** What a process has in memory, in bytes; `undefined` where there is no `/proc`. */
export async function residentBytes(pid: number): Promise<number | undefined> {
  const statm = await readFile(`/proc/${pid}/statm`, "utf8").catch(() => undefined);
  return statm === undefined ? undefined : Number(statm.split(" ")[1]) * PAGE_BYTES;
}
