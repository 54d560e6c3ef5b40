import { describe, expect, test } from "bun:test";
import { FileFault, WatchedFile } from "../../src/access/watched-file.ts";
import { until } from "../support/event-log.ts";
import { keptLog } from "./support/kept-log.ts";
import { MemoryFile } from "./support/memory-file.ts";

/** A file that must have a number. */
async function watching(contents: string) {
  const file = new MemoryFile(contents);
  const { log, lines } = keptLog();
  let parsed = 0;
  const watched = await WatchedFile.open(
    file,
    (text) => {
      parsed++;
      if (/^\d+$/.test(text)) return Number(text);
      throw new FileFault("is no number");
    },
    log,
  );
  const becomes = (value: number) =>
    until(
      `value ${value}`,
      async () => watched.value,
      (now) => now === value,
    );
  const logs = (count: number) =>
    until(
      `${count} log lines`,
      async () => lines.length,
      (now) => now === count,
    );
  return { file, watched, lines, becomes, logs, parsed: () => parsed };
}

describe("A watched file", () => {
  test("has its new contents after a change", async () => {
    const { file, becomes, lines, watched } = await watching("1");
    expect(watched.value).toBe(1);
    file.write("\uFEFF2");
    await becomes(2);
    expect(lines).toMatchObject([{ level: "info", file: "secrets.json" }]);
  });

  test("that becomes broken keeps the last good contents, and takes the next", async () => {
    const { file, becomes, lines, watched, logs } = await watching("1");
    file.write("hunter2");
    await logs(1);
    file.write(new Error("it is gone"));
    await logs(2);
    expect(watched.value).toBe(1);
    expect(lines).toMatchObject([
      { level: "error", file: "secrets.json", reason: "is no number" },
      { level: "error", file: "secrets.json", reason: "can't be read: it is gone" },
    ]);
    expect(JSON.stringify(lines)).not.toContain("hunter2");
    file.write("3");
    await becomes(3);
  });

  test("tells a fault once, and reads the same contents once", async () => {
    const { file, becomes, lines, parsed } = await watching("1");
    for (let time = 0; time < 3; time++) file.write(new Error("it is gone"));
    for (let time = 0; time < 3; time++) file.write("1");
    file.write("hunter2");
    file.write("hunter2");
    file.write("2");
    await becomes(2);
    expect(lines.filter(({ level }) => level === "error").length).toBeLessThanOrEqual(2);
    expect(parsed()).toBeLessThanOrEqual(3);
  });

  test("that changes while it is read ends with the latest contents", async () => {
    const { file, becomes } = await watching("1");
    file.hold();
    file.write("2");
    file.write("3");
    file.write("4");
    file.release();
    await becomes(4);
  });

  test("can't be opened if it is broken", async () => {
    await expect(watching("x")).rejects.toThrow(new FileFault("is no number"));
    const file = new MemoryFile("");
    file.write(new Error("no permission"));
    const { log } = keptLog();
    await expect(WatchedFile.open(file, Number, log)).rejects.toThrow(
      "can't be read: no permission",
    );
    expect(file.watchers).toBe(0);
  });

  test("that is stopped isn't watched", async () => {
    const { file, watched } = await watching("1");
    watched.stop();
    watched.stop();
    expect(file.watchers).toBe(0);
  });
});
