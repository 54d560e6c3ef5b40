import { describe, expect, test } from "bun:test";
import type { ReloadAnswer } from "../../src/http/reload.ts";
import type { Readiness, Status } from "../../src/http/status.ts";
import type { Assignment, SupervisorMessage, WorkerMessage } from "../../src/workers/messages.ts";
import { Supervisor } from "../../src/workers/supervisor.ts";
import type { WorkerListener, WorkerProcess } from "../../src/workers/worker-process.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const LIMITS = { maxDrainMs: 30_000, maxStopMs: 10_000 };
const FILE = { path: "spillway.json", text: "1" };
/** Longer than a start counts as one. */
const LONG_MS = 60_000;

const NONE = { p50: 0, p90: 0, p99: 0, max: 0 };
const STATUS: Status = {
  meta: { name: "w", type: "output", description: "", version: "1" },
  health: { healthy: true, last_check: "", error_count: 0, uptime: 0 },
  data_flow: { messages_per_second: 0, bytes_per_second: 0, error_rate: 0, last_activity: "" },
  ledger: { offered: 0, sent: 0, queued: 0, conflated: 0, dropped: 0 },
  lag: { seconds: NONE, bytes: NONE, furthest: [] },
  source: { name: "NATS", connected: true },
};

/** A process that does nothing by itself. */
class FakeWorker implements WorkerProcess {
  readonly pid: number;
  readonly assignment: Assignment;
  readonly got: SupervisorMessage[] = [];
  readonly #listener: WorkerListener;

  constructor(pid: number, assignment: Assignment, listener: WorkerListener) {
    this.pid = pid;
    this.assignment = assignment;
    this.#listener = listener;
  }

  send(message: SupervisorMessage): void {
    this.got.push(message);
  }

  kill(signal: NodeJS.Signals): void {
    this.end(null, signal);
  }

  say(message: WorkerMessage): void {
    this.#listener.said(message);
  }

  listen(): void {
    this.say({ type: "hearing" });
    this.say({ type: "listening", port: 8080 });
  }

  end(code: number | null, signal: string | null = null): void {
    this.#listener.ended({ code, signal });
  }

  /** Answers all questions that it got and has not answered. */
  answer(): void {
    for (const message of this.got.splice(0)) {
      if (message.type === "ask") this.say({ type: "answer", id: message.id, answer: [] });
    }
  }

  /** The configurations that it was told to reload. */
  get reloads(): (string | undefined)[] {
    return this.got.flatMap((message) => (message.type === "reload" ? message.file?.text : []));
  }

  /** Answers the last order to reload. */
  reloaded(answer: ReloadAnswer): void {
    const { id } = this.got.findLast(({ type }) => type === "reload") as { id: number };
    this.say({ type: "answer", id, answer });
  }

  /** Asks for its configuration, and returns it. */
  read(): string | undefined {
    this.say({ type: "file" });
    const told = this.got.at(-1) as Extract<SupervisorMessage, { type: "file" }>;
    return told.file?.text;
  }

  /** The orders to stop that it got. */
  get orders(): string[] {
    return this.got.map(({ type }) => type).filter((type) => /^(?:drain|stop|leave)$/.test(type));
  }
}

/** @param beforeSpawn is called before a process is started. */
function supervise(count: number, beforeSpawn: () => void = () => {}) {
  const clock = new ManualClock();
  const workers: FakeWorker[] = [];
  const lines: { level: string; properties: Record<string, unknown> | undefined }[] = [];
  const line = (level: string) => (_: string, properties?: Record<string, unknown>) => {
    lines.push({ level, properties });
  };
  const log = {
    debug: line("debug"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
  };
  const supervisor = new Supervisor(
    { name: "w", count, limits: LIMITS, file: FILE },
    {
      clock,
      log,
      spawn(assignment, listener) {
        beforeSpawn();
        const worker = new FakeWorker(100 + workers.length, assignment, listener);
        workers.push(worker);
        return worker;
      },
    },
  );
  return { supervisor, clock, workers, lines };
}

/** Starts so many workers, all of which listen. */
async function running(count: number, beforeSpawn?: () => void) {
  const all = supervise(count, beforeSpawn);
  const started = all.supervisor.start();
  all.workers[0]!.listen();
  for (const worker of all.workers.slice(1)) worker.listen();
  expect(await started).toEqual({ port: 8080, adminPort: undefined });
  return all;
}

describe("A start", () => {
  test("waits for the first worker, whose ports the others get", async () => {
    const { supervisor, workers } = supervise(3);
    const started = supervisor.start();
    expect(workers.map(({ assignment }) => assignment)).toEqual([
      { number: 1, count: 3, isReplacement: false },
    ]);
    workers[0]!.say({ type: "listening", port: 4000, adminPort: 5000 });
    const shared = { count: 3, isReplacement: false, port: 4000, adminPort: 5000 };
    expect(workers.slice(1).map(({ assignment }) => assignment)).toEqual([
      { number: 2, ...shared },
      { number: 3, ...shared },
    ]);
    for (const worker of workers.slice(1)) worker.listen();
    expect(await started).toEqual({ port: 4000, adminPort: 5000 });
  });

  test("fails at once if a worker refuses to start: the next one would say the same", async () => {
    const { supervisor, workers } = supervise(2);
    const started = supervisor.start();
    workers[0]!.end(1);
    await expect(started).rejects.toThrow(
      "Cannot keep worker 1 running: it ended at its start, with exit code 1",
    );
    expect(workers).toHaveLength(1);
  });

  test("goes on without a worker that is killed at each start", async () => {
    const { supervisor, workers, clock } = supervise(2);
    const started = supervisor.start();
    workers[0]!.listen();
    for (let n = 0; n < 6; n++) {
      workers.at(-1)!.end(null, "SIGKILL");
      clock.advance(5000);
    }
    expect(await started).toEqual({ port: 8080, adminPort: undefined });
    expect(supervisor.listening).toBe(1);
    workers[0]!.got.splice(0);
    workers[0]!.say({ type: "ask", id: 7, question: "readiness" });
    const { id } = workers[0]!.got[0] as { id: number };
    workers[0]!.say({ type: "answer", id, answer: { ready: true, reasons: [] } });
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    expect(workers[0]!.got.at(-1)).toMatchObject({ id: 7, answer: { ready: true, reasons: [] } });
    // The configuration was good for the other one.
    workers.at(-1)!.end(1);
    clock.advance(LONG_MS);
    expect(workers.at(-1)!.assignment).toMatchObject({ number: 2, isReplacement: false });
  });

  test("fails if the first worker is killed again and again", async () => {
    const { supervisor, workers, clock } = supervise(2);
    const started = supervisor.start();
    started.catch(() => {});
    for (let n = 0; n < 6; n++) {
      workers.at(-1)!.end(null, "SIGKILL");
      clock.advance(5000);
    }
    await expect(started).rejects.toThrow("worker 1 ended 6 times soon after its start");
  });

  test("fails if the system starts no process", async () => {
    const { supervisor } = supervise(2, () => {
      throw new Error("ENOMEM");
    });
    await expect(supervisor.start()).rejects.toThrow("it ended at its start, with ENOMEM");
  });

  test("is tried again if a worker is killed", async () => {
    const { supervisor, workers, clock } = supervise(1);
    const started = supervisor.start();
    workers[0]!.end(null, "SIGKILL");
    clock.advance(0);
    workers[1]!.listen();
    expect(await started).toEqual({ port: 8080, adminPort: undefined });
  });
});

describe("A worker that ends", () => {
  test("is replaced at once by one with its number and its port", async () => {
    const { workers, clock } = await running(2);
    clock.advance(LONG_MS);
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    expect(workers).toHaveLength(3);
    expect(workers[2]!.assignment).toEqual({
      ...{ number: 2, count: 2, port: 8080, isReplacement: true },
    });
  });

  test("is replaced later if the system starts no process now", async () => {
    let isFull = false;
    const { workers, clock, lines } = await running(2, () => {
      if (isFull) throw new Error("ENOMEM");
    });
    clock.advance(LONG_MS);
    isFull = true;
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    expect(lines.at(-1)?.properties).toMatchObject({ event: "worker_ended", reason: "ENOMEM" });
    isFull = false;
    clock.advance(200);
    expect(workers[2]!.assignment).toMatchObject({ number: 2, isReplacement: true });
  });

  test("is replaced however often that is, if it had served for a while", async () => {
    const { workers, clock } = await running(1);
    for (let n = 0; n < 20; n++) {
      clock.advance(LONG_MS);
      workers.at(-1)!.end(1);
      clock.advance(0);
      workers.at(-1)!.listen();
    }
    expect(workers).toHaveLength(21);
  });

  /** Lets the newest worker end so many times, and returns how long each start has waited. */
  function failAgain({ workers, clock }: Awaited<ReturnType<typeof running>>, times: number) {
    return Array.from({ length: times }, () => {
      const before = workers.length;
      workers.at(-1)!.end(null, "SIGSEGV");
      const sinceMs = clock.nowMs();
      for (let n = 0; n < 1000 && workers.length === before; n++) clock.advance(100);
      return clock.nowMs() - sinceMs;
    });
  }

  test("soon after each start is replaced later and later, while others serve", async () => {
    const all = await running(2);
    const { supervisor, workers, lines } = all;
    let failure: unknown;
    supervisor.failed.catch((error) => {
      failure = error;
    });
    const waits = failAgain(all, 12);
    expect(waits.slice(0, 6)).toEqual([100, 200, 400, 800, 1600, 3200]);
    expect(waits.slice(-2)).toEqual([30_000, 30_000]);
    expect(lines.filter(({ level }) => level === "error").at(-1)?.properties).toEqual({
      ...{ event: "worker_ended", worker: 2, failures: 12, reason: "signal SIGSEGV", seconds: 30 },
    });
    expect(failure).toBeUndefined();
    expect(await statesOf(workers[0]!, [workers[0]!])).toEqual(["serving", "failing"]);
    workers.at(-1)!.listen();
    expect(await statesOf(workers[0]!, [workers[0]!, workers.at(-1)!])).toEqual([
      ...["serving", "serving"],
    ]);
    // Once it has served for a while, it counts as any other.
    all.clock.advance(LONG_MS);
    expect(failAgain(all, 1)).toEqual([100]);
  });

  test("before it listens, or soon after that, counts as often, however long its start took", async () => {
    const all = await running(2);
    for (let n = 0; n < 5; n++) {
      failAgain(all, 1);
      all.clock.advance(LONG_MS);
      if (n % 2 === 0) all.workers.at(-1)!.listen();
    }
    expect(failAgain(all, 1)).toEqual([3200]);
  });

  test("like all others, again and again soon after its start, is the end", async () => {
    const all = await running(2);
    const { supervisor, workers, clock } = all;
    failAgain(all, 6);
    for (let n = 0; n < 6; n++) {
      workers.findLast(({ assignment }) => assignment.number === 1)!.end(null, "SIGSEGV");
      clock.advance(3000);
    }
    await expect(supervisor.failed).rejects.toThrow(
      "Cannot keep any worker running: worker 1 ended 6 times soon after its start, with signal SIGSEGV",
    );
  });

  test("with a refusal is tried again like any other once the gateway serves", async () => {
    const { workers, clock } = await running(2);
    workers[1]!.end(1);
    clock.advance(0);
    workers[2]!.end(1);
    clock.advance(200);
    expect(workers).toHaveLength(4);
  });

  test("is forgotten: what it has said last means nothing, except to all others", async () => {
    const { supervisor, workers, clock } = await running(2);
    let drains = 0;
    supervisor.onDrainRequest = () => drains++;
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    workers[1]!.listen();
    workers[1]!.say({ type: "ask", id: 1, question: "readiness" });
    workers[1]!.say({ type: "news", news: { kind: "revoked", entries: [] } });
    workers[1]!.say({ type: "drain" });
    expect(supervisor.listening).toBe(1);
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    expect(workers[2]!.got).toEqual([]);
    expect(workers[0]!.got.filter(({ type }) => type === "news")).toHaveLength(1);
    expect(drains).toBe(1);
  });
});

describe("A worker that was told to end, and not by its supervisor,", () => {
  /** Three workers, the second of which was told to end. */
  async function leaving() {
    const all = await running(3);
    all.clock.advance(LONG_MS);
    const [first, leaver, third] = all.workers as [FakeWorker, FakeWorker, FakeWorker];
    leaver.say({ type: "leaving" });
    return { ...all, first, leaver, third };
  }

  /** The same, when another one listens in its place. */
  async function replaced() {
    const all = await leaving();
    all.clock.advance(100);
    const replacement = all.workers[3]!;
    replacement.listen();
    return { ...all, replacement };
  }

  test("serves until another one listens in its place, and then drains", async () => {
    const { workers, leaver, clock } = await leaving();
    expect(workers).toHaveLength(3);
    clock.advance(100);
    const [, , , replacement] = workers;
    expect(replacement!.assignment).toMatchObject({ number: 2, isReplacement: true });
    expect(leaver.orders).toEqual([]);
    replacement!.listen();
    expect(leaver.orders).toEqual(["leave"]);
    leaver.end(0);
    clock.advance(LONG_MS);
    expect(workers).toHaveLength(4);
  });

  test("counts for the readiness until it drains", async () => {
    const { first, leaver, third, replacement } = await replaced();
    const AWAY = { ready: false, reasons: ["away"] };
    const answers = new Map([
      [leaver, AWAY],
      [first, AWAY],
      [third, AWAY],
      [replacement, { ready: true, reasons: [] }],
    ]);
    expect(await readinessOf(first, answers)).toEqual({
      ready: true,
      reasons: ["worker 1, worker 3: away"],
    });
    const all = await leaving();
    const stillServes = new Map([
      [all.first, AWAY],
      [all.leaver, { ready: true, reasons: [] }],
      [all.third, AWAY],
    ]);
    expect((await readinessOf(all.first, stillServes)).ready).toBe(true);
  });

  test("is shown beside the one in its place", async () => {
    const { workers, first } = await replaced();
    expect(await statesOf(first, workers)).toEqual(["serving", "draining", "serving", "serving"]);
  });

  test("hears and tells news, and is told of a reload, as long as it has clients", async () => {
    const { supervisor, workers, first, leaver, replacement } = await replaced();
    const news = { kind: "revoked", entries: [] } as const;
    for (const { got } of workers) got.splice(0);
    first.say({ type: "news", news });
    leaver.say({ type: "news", news });
    const heard = workers.map(({ got }) => got.filter(({ type }) => type === "news").length);
    expect(heard).toEqual([1, 1, 2, 2]);
    const reload = supervisor.reload(FILE);
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    first.reloaded({ changes: [] });
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    expect(leaver.reloads).toEqual(["1"]);
    for (const worker of [workers[2]!, replacement]) worker.reloaded({ changes: [] });
    // It isn't missed.
    leaver.end(0);
    expect(await reload).toEqual({ changes: [] });
  });

  test("is killed if it hasn't ended after its time", async () => {
    const { clock, lines } = await replaced();
    clock.advance(30_000 + LIMITS.maxDrainMs);
    expect(lines.filter(({ level }) => level === "error")).toMatchObject([
      { properties: { event: "worker_silent", worker: 2, pid: 101, seconds: 60 } },
      { properties: { event: "worker_ended", worker: 2, reason: "signal SIGKILL" } },
    ]);
  });

  test("drains at once with all others", async () => {
    const { supervisor, workers, leaver, clock } = await leaving();
    const drained = supervisor.drain();
    expect(leaver.orders).toEqual(["drain"]);
    clock.advance(100);
    expect(workers).toHaveLength(3);
    for (const worker of workers) worker.end(0);
    await drained;
    expect(clock.timers).toBe(0);
  });

  test("ends at once if it doesn't listen yet, and is replaced, also at the first start", async () => {
    const { supervisor, workers, clock } = supervise(2);
    const started = supervisor.start();
    workers[0]!.say({ type: "leaving" });
    expect(workers[0]!.orders).toEqual(["leave"]);
    workers[0]!.end(0);
    clock.advance(0);
    workers[1]!.listen();
    workers[2]!.listen();
    expect(await started).toEqual({ port: 8080, adminPort: undefined });
  });

  test("soon after each start is replaced later and later", async () => {
    const { workers, clock } = await running(2);
    for (const waitMs of [100, 200, 400]) {
      const before = workers.length;
      workers.at(-1)!.say({ type: "leaving" });
      clock.advance(waitMs - 1);
      expect(workers).toHaveLength(before);
      clock.advance(1);
      workers.at(-1)!.listen();
    }
  });
});

/** Asks for the readiness of all workers, of which those answer that are given. */
async function readinessOf(
  asker: FakeWorker,
  answers: ReadonlyMap<FakeWorker, Readiness>,
): Promise<Readiness> {
  for (const { got } of answers.keys()) got.splice(0);
  asker.say({ type: "ask", id: 1, question: "readiness" });
  for (const [worker, answer] of answers) {
    const asked = worker.got.find(({ type }) => type === "ask") as { id: number } | undefined;
    if (asked !== undefined) worker.say({ type: "answer", id: asked.id, answer });
  }
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  return (asker.got.findLast(({ type }) => type === "answer") as { answer: Readiness }).answer;
}

/** Asks for the status of all workers, of which so many answer. */
async function statesOf(asker: FakeWorker, answering: readonly FakeWorker[]): Promise<string[]> {
  for (const worker of answering) worker.got.splice(0);
  asker.say({ type: "ask", id: 1, question: "status" });
  for (const worker of answering) {
    const { id } = worker.got.find(({ type }) => type === "ask") as { id: number };
    worker.say({ type: "answer", id, answer: STATUS });
  }
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  const told = asker.got.findLast(({ type }) => type === "answer") as { answer: Status };
  return told.answer.workers!.map(({ state }) => state);
}

describe("A drain", () => {
  test("tells all workers, and is over when all have ended; nothing is replaced", async () => {
    const { supervisor, workers, clock } = await running(2);
    const drained = supervisor.drain();
    expect(workers.map(({ orders }) => orders)).toEqual([["drain"], ["drain"]]);
    workers[0]!.end(0);
    clock.advance(1000);
    workers[1]!.end(0);
    await drained;
    expect(workers).toHaveLength(2);
    expect(clock.timers).toBe(0);
  });

  test("fails if a worker ended in another way", async () => {
    const { supervisor, workers } = await running(2);
    const drained = supervisor.drain();
    workers[0]!.end(0);
    workers[1]!.end(2);
    await expect(drained).rejects.toThrow("Cannot stop in time: worker 2: exit code 2");
  });

  test("kills those that are left after its time", async () => {
    const { supervisor, workers, clock } = await running(2);
    const drained = supervisor.drain();
    workers[0]!.end(0);
    clock.advance(LIMITS.maxDrainMs);
    await expect(drained).rejects.toThrow("Cannot stop in time: worker 2: signal SIGKILL");
  });

  test("doesn't wait for a worker that was to be replaced, and kills one that only starts", async () => {
    const { supervisor, workers, clock } = await running(3);
    clock.advance(LONG_MS);
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    workers[2]!.end(null, "SIGKILL");
    const drained = supervisor.drain();
    workers[0]!.end(0);
    await drained;
    clock.advance(LONG_MS);
    expect(workers).toHaveLength(4);
    expect(workers[3]!.orders).toEqual([]);
  });

  test("takes as long as the configuration says by now", async () => {
    const { supervisor, workers, clock } = await running(1);
    supervisor.limits = { ...LIMITS, maxDrainMs: 2 * LIMITS.maxDrainMs };
    const drained = supervisor.drain();
    clock.advance(2 * LIMITS.maxDrainMs - 1);
    workers[0]!.end(0);
    await drained;
  });

  test("becomes a stop if that is asked for meanwhile", async () => {
    const { supervisor, workers } = await running(1);
    const drained = supervisor.drain();
    const stopped = supervisor.stop();
    expect(workers[0]!.orders).toEqual(["drain", "stop"]);
    workers[0]!.end(0);
    await Promise.all([drained, stopped]);
  });

  test("is asked for by an operator at any worker", async () => {
    const { supervisor, workers } = await running(2);
    let asked = 0;
    supervisor.onDrainRequest = () => asked++;
    workers[1]!.say({ type: "drain" });
    expect(asked).toBe(1);
  });
});

describe("A reload", () => {
  const TWO = { path: FILE.path, text: "2" };
  const TAKEN: ReloadAnswer = { changes: [{ key: "max_clients", before: "1", after: "2" }] };
  const REFUSED: ReloadAnswer = { fault: "restart_needed", reason: "path" };
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };

  /** Reloads three workers, of which all take the configuration. */
  async function reloaded() {
    const all = await running(3);
    const reload = all.supervisor.reload(TWO);
    await settle();
    all.workers[0]!.reloaded(TAKEN);
    await settle();
    for (const worker of all.workers.slice(1)) worker.reloaded(TAKEN);
    expect(await reload).toEqual(TAKEN);
    return all;
  }

  test("is first one of one worker, then of the others with the same file", async () => {
    const { supervisor, workers } = await running(3);
    const reload = supervisor.reload(TWO);
    await settle();
    expect(workers.map(({ reloads }) => reloads)).toEqual([["2"], [], []]);
    workers[0]!.reloaded(TAKEN);
    await settle();
    expect(workers.map(({ reloads }) => reloads)).toEqual([["2"], ["2"], ["2"]]);
    workers[1]!.reloaded(TAKEN);
    workers[2]!.reloaded(TAKEN);
    expect(await reload).toEqual(TAKEN);
  });

  test("that the first worker refuses isn't tried by the others", async () => {
    const { supervisor, workers } = await running(2);
    const reload = supervisor.reload(TWO);
    await settle();
    workers[0]!.reloaded(REFUSED);
    expect(await reload).toEqual(REFUSED);
    expect(workers[1]!.reloads).toEqual([]);
    expect(workers[1]!.read()).toBe("1");
  });

  test("that another worker refuses, or doesn't answer, is no success", async () => {
    const { supervisor, workers, clock, lines } = await running(3);
    const reload = supervisor.reload(TWO);
    await settle();
    workers[0]!.reloaded(TAKEN);
    await settle();
    workers[1]!.reloaded(TAKEN);
    clock.advance(30_000);
    const reason = "worker 3 doesn't answer yet, and may take the configuration later";
    expect(await reload).toEqual({ fault: "unfinished", reason: `${reason}. Ask again` });
    // A worker that refuses a reload says so itself.
    expect(lines.filter(({ level }) => level === "error")).toEqual([
      { level: "error", properties: { event: "config_reload_failed", reason } },
    ]);
  });

  test("isn't held up by a worker that stands still, whether it is the first or another one", async () => {
    for (const still of [0, 1]) {
      const { supervisor, workers, clock } = await running(2);
      const answering = workers[1 - still]!;
      for (let n = 0; n < 2; n++) {
        clock.advance(5000);
        answering.answer();
        clock.advance(1000);
        await settle();
      }
      const reload = supervisor.reload(TWO);
      await settle();
      clock.advance(0);
      await settle();
      expect(answering.reloads).toEqual(["2"]);
      answering.reloaded(TAKEN);
      await settle();
      clock.advance(0);
      const reason = `worker ${still + 1} doesn't answer yet, and may take the configuration later`;
      expect(await reload).toEqual({ fault: "unfinished", reason: `${reason}. Ask again` });
      expect(workers[still]!.reloads).toEqual(["2"]);
    }
  });

  test("is no longer waited for when the worker has said nothing in two checks", async () => {
    const { supervisor, workers, clock } = await running(1);
    const reload = supervisor.reload(TWO);
    await settle();
    for (let n = 0; n < 2; n++) {
      clock.advance(5000);
      clock.advance(1000);
      await settle();
    }
    expect(await reload).toMatchObject({ fault: "unfinished" });
    expect(workers).toHaveLength(1);
  });

  test("fails at once if the worker ends that tries it first, and changes nothing", async () => {
    const { supervisor, workers, clock } = await running(2);
    const reload = supervisor.reload(TWO);
    await settle();
    workers[0]!.end(null, "SIGKILL");
    const reason = "worker 1 ended meanwhile. Ask again";
    expect(await reload).toEqual({ fault: "unfinished", reason });
    clock.advance(0);
    expect(workers[2]!.read()).toBe("1");
    expect(workers[1]!.reloads).toEqual([]);
  });

  test("is over at once if another worker ends; the next one begins with the new file", async () => {
    const { supervisor, workers, clock } = await running(3);
    const reload = supervisor.reload(TWO);
    await settle();
    workers[0]!.reloaded(TAKEN);
    await settle();
    workers[1]!.reloaded(TAKEN);
    workers[2]!.end(null, "SIGKILL");
    const reason = "worker 3 ended meanwhile. Ask again";
    expect(await reload).toEqual({ fault: "unfinished", reason });
    clock.advance(0);
    expect(workers[3]!.read()).toBe("2");
  });

  test("is one of a worker, too, that begins to listen while another one tries it", async () => {
    const { supervisor, workers, clock } = await running(2);
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    workers[2]!.read();
    const reload = supervisor.reload(TWO);
    await settle();
    workers[2]!.listen();
    workers[0]!.reloaded(TAKEN);
    await settle();
    expect(workers[2]!.reloads).toEqual(["2"]);
    workers[2]!.reloaded(TAKEN);
    expect(await reload).toEqual(TAKEN);
  });

  test("isn't asked of a worker that has ended and only starts again", async () => {
    const { supervisor, workers, clock } = await running(2);
    const reload = supervisor.reload(TWO);
    await settle();
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    workers[0]!.reloaded(TAKEN);
    expect(await reload).toEqual(TAKEN);
    expect(workers[2]!.reloads).toEqual([]);
  });

  test("comes after the one before", async () => {
    const { supervisor, workers } = await running(1);
    const reloads = [supervisor.reload(TWO), supervisor.reload(FILE)];
    await settle();
    expect(workers[0]!.reloads).toEqual(["2"]);
    workers[0]!.reloaded(REFUSED);
    await settle();
    expect(workers[0]!.reloads).toEqual(["2", "1"]);
    workers[0]!.reloaded(TAKEN);
    expect(await Promise.all(reloads)).toEqual([REFUSED, TAKEN]);
  });

  test("waits until all workers listen", async () => {
    const { supervisor, workers } = supervise(2);
    void supervisor.start();
    void supervisor.reload(TWO);
    workers[0]!.listen();
    await settle();
    expect(workers[0]!.reloads).toEqual([]);
    workers[1]!.listen();
    await settle();
    expect(workers[0]!.reloads).toEqual(["2"]);
  });

  test("is answered to the worker whose operator asked for it", async () => {
    const { supervisor, workers } = await running(2);
    supervisor.onReloadRequest = async () => REFUSED;
    workers[1]!.say({ type: "reload", id: 7 });
    await settle();
    expect(workers[1]!.got.at(-1)).toEqual({ type: "answer", id: 7, answer: REFUSED });
    expect(workers[0]!.got).toEqual(workers[0]!.got.filter(({ type }) => type === "ask"));
  });

  test("is one of later workers, too, whatever the file says by then", async () => {
    const { workers, clock } = await reloaded();
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    expect(workers[3]!.read()).toBe("2");
    workers[3]!.listen();
    expect(workers[3]!.reloads).toEqual([]);
  });

  test("that happens while a worker starts is made up for", async () => {
    const { supervisor, workers, clock } = await running(2);
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    expect(workers[2]!.read()).toBe("1");
    const reload = supervisor.reload(TWO);
    await settle();
    workers[0]!.reloaded(TAKEN);
    expect(await reload).toEqual(TAKEN);
    workers[2]!.listen();
    expect(workers[2]!.reloads).toEqual(["2"]);
  });
});

describe("A worker that doesn't answer", () => {
  /** Lets six checks pass, in which the workers of these numbers answer. */
  async function check(
    { clock, workers }: Pick<Awaited<ReturnType<typeof running>>, "clock" | "workers">,
    answering: readonly number[],
    checks = 6,
  ): Promise<void> {
    for (let n = 0; n < checks; n++) {
      clock.advance(5000);
      for (const number of answering) workers[number]!.answer();
      clock.advance(1000);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  }

  test("is killed after six checks, and replaced", async () => {
    const all = await running(2);
    await check(all, [0], 5);
    expect(all.lines.map(({ level }) => level)).not.toContain("error");
    await check(all, [0], 1);
    expect(all.lines.filter(({ level }) => level === "error")).toMatchObject([
      { properties: { event: "worker_silent", worker: 2, pid: 101, seconds: 36 } },
      { properties: { event: "worker_ended", worker: 2, reason: "signal SIGKILL" } },
    ]);
    all.clock.advance(0);
    expect(all.workers[2]!.assignment).toMatchObject({ number: 2, isReplacement: true });
  });

  test("is killed after two minutes if it doesn't even listen, and replaced", async () => {
    const { workers, clock, lines } = await running(2);
    clock.advance(LONG_MS);
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    clock.advance(119_999);
    expect(workers).toHaveLength(3);
    clock.advance(1);
    expect(lines.filter(({ level }) => level === "error").slice(-2)).toMatchObject([
      { properties: { event: "worker_silent", worker: 2, seconds: 120 } },
      { properties: { event: "worker_ended", worker: 2, reason: "signal SIGKILL" } },
    ]);
    clock.advance(200);
    expect(workers[3]!.assignment).toMatchObject({ number: 2, isReplacement: true });
  });

  test("goes on if it answers again before", async () => {
    const all = await running(1);
    for (let n = 0; n < 3; n++) {
      await check(all, [], 5);
      await check(all, [0], 1);
    }
    expect(all.workers).toHaveLength(1);
  });

  test("goes on if its answers are only late", async () => {
    const all = await running(1);
    for (let n = 0; n < 8; n++) {
      await check(all, [], 1);
      all.workers[0]!.answer();
    }
    expect(all.workers).toHaveLength(1);
  });

  test("isn't checked while it stops", async () => {
    const all = await running(1);
    void all.supervisor.stop().catch(() => {});
    expect(all.workers[0]!.orders).toEqual(["stop"]);
    await check(all, []);
    expect(all.lines.map(({ properties }) => properties?.event)).not.toContain("worker_silent");
  });
});

describe("A worker", () => {
  test("tells all others, and not itself", async () => {
    const { workers } = await running(3);
    const news = { kind: "revoked", entries: [] } as const;
    workers[1]!.say({ type: "news", news });
    const heard = workers.map(({ got }) => got.filter(({ type }) => type === "news").length);
    expect(heard).toEqual([1, 0, 1]);
  });

  test("gets news before it listens, and none before it can take them", async () => {
    const { workers, clock } = await running(2);
    workers[1]!.end(null, "SIGKILL");
    clock.advance(0);
    const news = { kind: "posted", subject: "a", data: "" } as const;
    workers[0]!.say({ type: "news", news });
    workers[2]!.say({ type: "hearing" });
    workers[0]!.say({ type: "news", news });
    expect(workers[2]!.got).toEqual([{ type: "news", news }]);
  });

  /** Waits for what needs nothing but its turn. */
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  const answersTo = ({ got }: FakeWorker) => got.filter(({ type }) => type === "answer");
  const kindsOf = ({ got }: FakeWorker) =>
    got.flatMap((message) => (message.type === "news" ? message.news.kind : []));

  test("is told when all others have taken its news, or have ended", async () => {
    const { workers } = await running(3);
    for (const { got } of workers) got.splice(0);
    workers[0]!.say({ type: "ask", id: 7, question: "flush" });
    for (const worker of workers.slice(1)) {
      expect(worker.got).toMatchObject([{ type: "ask", question: "flush" }]);
    }
    workers[1]!.answer();
    await settle();
    expect(answersTo(workers[0]!)).toEqual([]);
    workers[2]!.end(null, "SIGKILL");
    await settle();
    expect(answersTo(workers[0]!)).toEqual([{ type: "answer", id: 7, answer: undefined }]);
  });

  test("waits for one that is slow in taking its news, and not for one that stands still", async () => {
    const { workers, clock } = await running(2);
    const [poster, other] = workers as [FakeWorker, FakeWorker];
    poster.say({ type: "ask", id: 7, question: "flush" });
    other.say({ type: "drain" });
    clock.advance(2000);
    await settle();
    expect(answersTo(poster)).toEqual([]);
    clock.advance(2000);
    await settle();
    expect(answersTo(poster)).toHaveLength(1);
    // From now on, nobody waits for it.
    poster.say({ type: "ask", id: 8, question: "flush" });
    await settle();
    expect(answersTo(poster)).toHaveLength(2);
  });

  test("that stood still gets no posts, but revocations, and is told so when it goes on", async () => {
    const { workers, clock } = await running(2);
    const [poster, still] = workers as [FakeWorker, FakeWorker];
    const posted = { kind: "posted", subject: "a", data: "" } as const;
    poster.say({ type: "ask", id: 7, question: "flush" });
    poster.say({ type: "news", news: posted });
    clock.advance(2000);
    await settle();
    poster.say({ type: "news", news: posted });
    poster.say({ type: "news", news: { kind: "revoked", entries: [] } });
    expect(kindsOf(still)).toEqual(["posted", "revoked"]);
    still.answer();
    poster.say({ type: "news", news: posted });
    expect(kindsOf(still)).toEqual(["missed", "posted"]);
    poster.say({ type: "ask", id: 8, question: "flush" });
    await settle();
    expect(answersTo(poster)).toHaveLength(1);
  });

  test("that stands still is waited for once, and then again when it has said something", async () => {
    const { workers, clock } = await running(2);
    const [asker, still] = workers as [FakeWorker, FakeWorker];
    const ask = async (): Promise<unknown[]> => {
      asker.got.splice(0);
      asker.say({ type: "ask", id: 7, question: "readiness" });
      asker.answer();
      await settle();
      return answersTo(asker);
    };
    expect(await ask()).toEqual([]);
    clock.advance(1000);
    await settle();
    expect(await ask()).toMatchObject([{ answer: { reasons: ["worker 2: it doesn't answer"] } }]);
    still.answer();
    expect(await ask()).toEqual([]);
  });

  test("that asks is told what all say; one that is silent is left out after a second", async () => {
    const { workers, clock } = await running(3);
    workers[0]!.say({ type: "ask", id: 7, question: "readiness" });
    for (const worker of workers.slice(0, 2)) {
      const asked = worker.got.find(({ type }) => type === "ask");
      const question = worker.got.filter(
        (message) => message.type === "ask" && message.question === "readiness",
      )[0] as { id: number };
      expect(asked).toBeDefined();
      worker.say({ type: "answer", id: question.id, answer: { ready: true, reasons: [] } });
    }
    await Promise.resolve();
    clock.advance(1000);
    for (let n = 0; n < 20; n++) await Promise.resolve();
    expect(workers[0]!.got.at(-1)).toEqual({
      ...{ type: "answer", id: 7 },
      answer: { ready: true, reasons: ["worker 3: it doesn't answer"] },
    });
  });

  test("that asks whether all are ready says so itself, and isn't asked", async () => {
    const { workers, clock } = await running(2);
    const [asker] = workers as [FakeWorker, FakeWorker];
    asker.got.splice(0);
    const own: Readiness = { ready: true, reasons: [] };
    asker.say({ type: "ask", id: 7, question: "readiness", own });
    clock.advance(1000);
    await settle();
    expect(asker.got).toEqual([
      {
        ...{ type: "answer", id: 7 },
        answer: { ready: true, reasons: ["worker 2: it doesn't answer"] },
      },
    ]);
  });

  test("that replaces another one is told which tokens were revoked, also if the first of the others stands still", async () => {
    const { workers, clock } = await running(3);
    clock.advance(LONG_MS);
    workers[2]!.end(null, "SIGKILL");
    clock.advance(0);
    const [still, other, , replacement] = workers as [
      FakeWorker,
      FakeWorker,
      FakeWorker,
      FakeWorker,
    ];
    replacement.listen();
    const questionTo = ({ got }: FakeWorker) =>
      got.findLast((message) => message.type === "ask" && message.question === "revocations") as {
        id: number;
      };
    expect(questionTo(still)).toBeDefined();
    clock.advance(1000);
    for (let n = 0; n < 20; n++) await Promise.resolve();
    const entries = [{ claim: "sub", value: "alice", issuedBeforeMs: 5 }];
    other.say({ type: "answer", id: questionTo(other).id, answer: entries });
    for (let n = 0; n < 20; n++) await Promise.resolve();
    expect(replacement.got.filter(({ type }) => type === "news")).toEqual([
      { type: "news", news: { kind: "revoked", entries } },
    ] as never);
  });
});
