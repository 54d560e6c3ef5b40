import { describe, expect, test } from "bun:test";
import { FileFault, WatchedFiles } from "../../src/access/watched-files.ts";
import { settled } from "../core/support/auth-harness.ts";
import { EventLog, until } from "../support/event-log.ts";
import { keptLog } from "./support/kept-log.ts";
import { MemoryFile } from "./support/memory-file.ts";

/** A file that must have a number. */
async function watching(contents: string) {
  const file = new MemoryFile(contents);
  const { log, lines } = keptLog();
  let parsed = 0;
  const watched = await WatchedFiles.openOne(
    file,
    (text) => {
      parsed++;
      if (/^\d+$/.test(text)) return Number(text);
      throw new FileFault("is no number");
    },
    log,
  );
  watched.start();
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
      { level: "error", file: "secrets.json", reason: "the file is no number" },
      { level: "error", file: "secrets.json", reason: "the file can't be read: it is gone" },
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
    await expect(WatchedFiles.openOne(file, Number, log)).rejects.toThrow(
      "can't be read: no permission",
    );
    expect(file.watchers).toBe(0);
  });

  test("is watched from its start to its stop, and again after another start", async () => {
    const { file, watched, becomes } = await watching("1");
    watched.start();
    expect(file.watchers).toBe(1);
    watched.stop();
    watched.stop();
    expect(file.watchers).toBe(0);
    watched.start();
    file.write("2");
    await becomes(2);
  });

  test("that is stopped while its contents are parsed keeps its value, and has them after the next start", async () => {
    const file = new MemoryFile("1");
    const { log } = keptLog();
    const parsing = Promise.withResolvers<void>();
    let gate = Promise.resolve();
    let parsed = 0;
    const parse = async (text: string): Promise<number> => {
      parsed++;
      await gate;
      return Number(text);
    };
    const watched = await WatchedFiles.openOne(file, parse, log);
    const told = new EventLog<number>("changes");
    const start = (): void => watched.start((value) => told.add(value));
    start();
    gate = parsing.promise;
    file.write("2");
    await until(
      "parsing",
      async () => parsed,
      (count) => count === 2,
    );
    watched.stop();
    parsing.resolve();
    await settled();
    expect([watched.value, told.entries]).toEqual([1, []]);
    start();
    file.write("2");
    expect(await told.next()).toBe(2);
    expect(watched.value).toBe(2);
  });

  test("that is stopped while it is read keeps its value", async () => {
    const { file, watched, parsed } = await watching("1");
    file.hold();
    file.write("2");
    watched.stop();
    file.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect([watched.value, parsed()]).toEqual([1, 1]);
  });
});

describe("Several watched files", () => {
  test("are one value, of which each change is told", async () => {
    const [one, two] = [new MemoryFile("1"), new MemoryFile("2")];
    const { log, lines } = keptLog();
    const watched = await WatchedFiles.open([one, two], (texts) => texts.join("+"), log);
    const told = new EventLog<string>("values");
    watched.start((value) => told.add(value));
    expect(watched.value).toBe("1+2");
    two.write("3");
    expect(await told.next()).toBe("1+3");
    expect(lines).toMatchObject([{ event: "file_reloaded", file: "secrets.json, secrets.json" }]);
  });

  test("are read on after an error of who is told", async () => {
    const file = new MemoryFile("1");
    const { log, lines } = keptLog();
    const watched = await WatchedFiles.open([file], ([text]) => `${text}`, log);
    const told = new EventLog<string>("values");
    watched.start((value) => {
      told.add(value);
      if (value === "2") throw new Error("no port");
    });
    file.write("2");
    expect(await told.next()).toBe("2");
    expect(watched.value).toBe("1");
    file.write("3");
    expect(await told.next()).toBe("3");
    expect(lines[0]).toMatchObject({ event: "file_reload_failed", reason: "no port" });
  });
});
