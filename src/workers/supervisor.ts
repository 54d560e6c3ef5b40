import type { ConfigFile } from "../config/load.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { backoffMs } from "../core/timing/backoff.ts";
import { withDeadline } from "../core/timing/deadline.ts";
import type { ReloadAnswer } from "../http/reload.ts";
import type { Readiness, Status, WorkerStatus } from "../http/status.ts";
import {
  keepCounters,
  type MetricsSnapshot,
  restartsSnapshot,
  showTogether,
} from "../metrics/worker-metrics.ts";
import { type Answer, mergeReadiness, mergeStatus } from "./merge-status.ts";
import type { Question, SupervisorMessage, WorkerMessage } from "./messages.ts";
import {
  describeEnd,
  type SpawnWorker,
  type WorkerEnd,
  type WorkerProcess,
} from "./worker-process.ts";

/** A worker that served for less than this counts as one that failed at its start. */
const STABLE_MS = 10_000;
/** A worker that failed more often than this at its start, one time after another, counts as failing. */
const MAX_FAILURES = 5;
/** The wait before the second attempt; it doubles with each one, up to half a minute. The first replacement is started at once. */
const FIRST_BACKOFF_MS = 200;
/** The longest time that a worker may take to answer a question. */
const ANSWER_MS = 1000;
/** The longest time that the reload of a worker may take. */
const RELOAD_MS = 30_000;
/** A worker that does not listen by then is killed. */
const START_MS = 120_000;
/** The time between two checks whether a worker still answers. */
const CHECK_MS = 5000;
/** A worker that says nothing in so many checks, one after another, is killed: the kernel goes on to give it new connections. */
const MOST_SILENT_CHECKS = 6;

const ENDED = "Worker {worker} has ended with {reason}; it is replaced in {seconds} seconds";
const FAILING =
  "Worker {worker} has ended {failures} times soon after its start, now with {reason}; the others serve, and it is tried again in {seconds} seconds";

/** The messages of a worker that are for all. */
const OF_ALL: readonly WorkerMessage["type"][] = ["news", "drain"];

/** The times after which workers that are to end are killed. */
export interface SupervisorLimits {
  /** The longest time that a drain of a worker may take, its stop included. After that it is killed. */
  readonly maxDrainMs: number;
  /** The longest time that a stop of a worker may take. */
  readonly maxStopMs: number;
}

interface SupervisorOptions {
  /** The value of the label `component`. */
  readonly name: string;
  readonly count: number;
  readonly limits: SupervisorLimits;
  /** The file of the configuration; `undefined`: there is none. */
  readonly file?: ConfigFile | undefined;
}

interface SupervisorParts {
  readonly spawn: SpawnWorker;
  readonly clock: Clock;
  readonly log: Log;
}

/** The ports at which the workers listen. */
export interface WorkerPorts {
  readonly port: number;
  readonly adminPort?: number | undefined;
}

/** A worker, or the one that replaces it. */
interface Slot {
  readonly number: number;
  process: WorkerProcess | undefined;
  /** Whether it takes news. */
  isHearing: boolean;
  isListening: boolean;
  /** The time when it began to listen. */
  listensSinceMs: number;
  /** Whether it has listened since the gateway was started. */
  wasListening: boolean;
  /** The file of the configuration that it got at its start. */
  file: ConfigFile | undefined;
  /** The number of checks since it has said something. */
  silentChecks: number;
  /** Failures at the start, one after another. */
  failures: number;
  cancelRestart: Cancel;
  cancelCheck: Cancel;
  /** Its last answer about its metrics. */
  metrics: MetricsSnapshot | undefined;
}

/** A question to a worker. */
interface Pending {
  readonly slot: Slot;
  settle(answer: unknown): void;
}

/** Starts workers, replaces those that end, and answers for all of them. Serves no client itself. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #parts: SupervisorParts;
  readonly #slots: Slot[];
  readonly #failed = Promise.withResolvers<never>();
  readonly #ready = Promise.withResolvers<WorkerPorts>();
  readonly #pending = new Map<number, Pending>();
  /** The counters of workers that have ended. */
  #ended: MetricsSnapshot = [];
  #folding: Promise<void> = Promise.resolve();
  #restarts = 0;
  #lastId = 0;
  #ports: WorkerPorts | undefined;
  /** Whether each worker has listened once, or counts as failing. */
  #isStarted = false;
  #isStopping = false;
  /** The file of the configuration that is in effect. */
  #file: ConfigFile | undefined;
  /** The last reload that is under way; it never rejects. */
  #reloading: Promise<unknown> = Promise.resolve();
  #lastEnd = Promise.withResolvers<void>();
  /** The ends of workers that were told to stop and didn't do that well. */
  readonly #badEnds: string[] = [];
  /** Called when an operator asks for a drain. */
  onDrainRequest: (() => void) | undefined;
  /** Called when an operator asks for a reload. */
  onReloadRequest: (() => Promise<ReloadAnswer>) | undefined;
  /** They change with the configuration. */
  limits: SupervisorLimits;

  constructor(options: SupervisorOptions, parts: SupervisorParts) {
    this.#options = options;
    this.#parts = parts;
    this.#file = options.file;
    this.limits = options.limits;
    this.#slots = Array.from({ length: options.count }, (_, index) => ({
      number: index + 1,
      process: undefined,
      isHearing: false,
      isListening: false,
      listensSinceMs: 0,
      wasListening: false,
      file: options.file,
      silentChecks: 0,
      failures: 0,
      cancelRestart: () => {},
      cancelCheck: () => {},
      metrics: undefined,
    }));
    this.#failed.promise.catch(() => {});
  }

  /** The number of workers that listen. */
  get listening(): number {
    return this.#slots.filter(({ isListening }) => isListening).length;
  }

  /** Rejects when no worker can be kept running. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /**
   * Starts the first worker, and the others when it listens, so that they learn its port. Resolves when all of them listen that
   * don't fail again and again.
   *
   * @throws SpillwayError `"WORKER_FAILED"` (fatal) if one refuses to start, or none can be started.
   */
  async start(): Promise<WorkerPorts> {
    const [first] = this.#slots;
    if (first !== undefined) this.#spawn(first);
    return await Promise.race([this.#ready.promise, this.#failed.promise]);
  }

  /** Tells all workers to drain, and resolves when they have ended. @throws SpillwayError `"STOP_TIMEOUT"` (transient) */
  async drain(): Promise<void> {
    await this.#stop("drain", this.limits.maxDrainMs);
  }

  /** Tells all workers to stop, also while they drain. @throws SpillwayError `"STOP_TIMEOUT"` (transient) */
  async stop(): Promise<void> {
    await this.#stop("stop", this.limits.maxStopMs);
  }

  /** Kills all workers. */
  kill(): void {
    this.#isStopping = true;
    for (const slot of this.#slots) {
      slot.cancelRestart();
      slot.cancelCheck();
      slot.process?.kill("SIGKILL");
    }
  }

  /**
   * Reloads the configuration of all workers: first of one, and only if that one takes it, of the others. Workers that start later
   * get the file that the last successful reload had. One reload comes after the other, and the first one after the start.
   *
   * @param file the file of the configuration; without it, each worker reads the configuration itself.
   */
  async reload(file?: ConfigFile): Promise<ReloadAnswer> {
    const reloaded = this.#reloading.then(() => this.#reload(file));
    this.#reloading = reloaded;
    return await reloaded;
  }

  async #reload(file: ConfigFile | undefined): Promise<ReloadAnswer> {
    await this.#ready.promise;
    const first = this.#slots.find(({ isListening }) => isListening);
    if (first === undefined) return this.#reloadFault("no worker runs now");
    const answer = await this.#reloadOne(first, file);
    if ("fault" in answer) return answer;
    this.#file = file ?? this.#file;
    // Another one may have begun to listen meanwhile.
    const others = this.#slots.filter((slot) => slot !== first && slot.isListening);
    const answers = await Promise.all(others.map((slot) => this.#reloadOne(slot, file)));
    return answers.find((one) => "fault" in one) ?? answer;
  }

  async #reloadOne(slot: Slot, file: ConfigFile | undefined): Promise<ReloadAnswer> {
    const { process } = slot;
    const answer = await this.#answerOf(slot, (id) => ({ type: "reload", id, file }), RELOAD_MS);
    if (answer !== undefined) return answer as ReloadAnswer;
    const how = slot.process === process ? "doesn't answer" : "ended meanwhile";
    return this.#reloadFault(`worker ${slot.number} ${how}`);
  }

  /** Says why a reload failed that no worker has refused: a worker would log it itself. */
  #reloadFault(reason: string): ReloadAnswer {
    this.#parts.log.error("Cannot reload the configuration: {reason}", {
      event: "config_reload_failed",
      reason,
    });
    return { fault: "invalid", reason };
  }

  async #stop(order: "drain" | "stop", atMostMs: number): Promise<void> {
    this.#isStopping = true;
    for (const { process, isListening, cancelRestart, cancelCheck } of this.#slots) {
      cancelRestart();
      cancelCheck();
      // One that doesn't listen has no client, and might not hear the order.
      if (isListening) process?.send({ type: order });
      else process?.kill("SIGKILL");
    }
    this.#checkEnded();
    const cancel = this.#parts.clock.after(atMostMs, () => this.kill());
    await this.#lastEnd.promise.finally(cancel);
    if (this.#badEnds.length === 0) return;
    throw new SpillwayError("STOP_TIMEOUT", `Cannot stop in time: ${this.#badEnds.join("; ")}`);
  }

  #spawn(slot: Slot): void {
    const { clock, log, spawn } = this.#parts;
    const { number } = slot;
    const assignment = {
      ...{ number, count: this.#options.count, isReplacement: slot.wasListening },
      ...(this.#ports !== undefined && { port: this.#ports.port }),
      ...(this.#ports?.adminPort !== undefined && { adminPort: this.#ports.adminPort }),
    };
    let process: WorkerProcess;
    try {
      process = spawn(assignment, {
        said: (message) => {
          // The last messages of a process may arrive after its end, when there is another one.
          if (slot.process === process || OF_ALL.includes(message.type)) this.#take(slot, message);
        },
        ended: (end) => this.#hasEnded(slot, end),
      });
    } catch (error) {
      this.#hasEnded(slot, { code: null, signal: null, reason: reasonOf(error) });
      return;
    }
    slot.process = process;
    slot.cancelCheck = clock.after(START_MS, () => this.#killSilent(slot, START_MS));
    log.debug("Worker {worker} is started", {
      ...{ event: "worker_started", worker: number, pid: process.pid },
    });
  }

  #take(slot: Slot, message: WorkerMessage): void {
    // An answer that comes too late counts, too: such a worker is slow, and doesn't stand still.
    slot.silentChecks = 0;
    switch (message.type) {
      case "listening":
        this.#hasListened(slot, message);
        break;
      case "ask":
        void this.#answerFor(slot, message.id, message.question);
        break;
      case "answer":
        this.#pending.get(message.id)?.settle(message.answer);
        break;
      case "news":
        for (const other of this.#othersHearing(slot)) other.process?.send(message);
        break;
      case "stopped":
        slot.metrics = message.metrics;
        break;
      case "hearing":
        slot.isHearing = true;
        break;
      case "drain":
        this.onDrainRequest?.();
        break;
      case "file":
        slot.file = this.#file;
        slot.process?.send({ type: "file", file: this.#file });
        break;
      case "reload":
        void this.#answerOperator(slot, message.id);
    }
  }

  #hasListened(slot: Slot, ports: WorkerPorts): void {
    const isFirst = this.#ports === undefined;
    this.#ports ??= { port: ports.port, adminPort: ports.adminPort };
    slot.isListening = true;
    slot.listensSinceMs = this.#parts.clock.nowMs();
    if (slot.wasListening) {
      this.#parts.log.info("Worker {worker} serves again", {
        ...{ event: "worker_replaced", worker: slot.number, pid: slot.process?.pid },
      });
    }
    slot.wasListening = true;
    if (this.#isStopping) {
      slot.process?.kill("SIGKILL");
      return;
    }
    // The configuration was reloaded while it started.
    if (slot.file !== this.#file) void this.#reloadOne(slot, this.#file);
    slot.cancelCheck();
    this.#checkLater(slot);
    void this.#tellRevocations(slot);
    if (isFirst) for (const other of this.#slots) if (other !== slot) this.#spawn(other);
    this.#checkStarted();
  }

  #checkStarted(): void {
    const isUp = (slot: Slot): boolean => slot.wasListening || this.#isFailing(slot);
    if (this.#ports === undefined || !this.#slots.every(isUp)) return;
    this.#isStarted = true;
    this.#ready.resolve(this.#ports);
  }

  /** Whether a worker has failed at its start again and again, the last time included. */
  #isFailing(slot: Slot): boolean {
    return slot.failures > MAX_FAILURES && this.#servedMs(slot) < STABLE_MS;
  }

  #servedMs({ isListening, listensSinceMs }: Slot): number {
    return isListening ? this.#parts.clock.nowMs() - listensSinceMs : 0;
  }

  #hasEnded(slot: Slot, end: WorkerEnd): void {
    const { clock, log } = this.#parts;
    const wasListening = slot.isListening;
    slot.failures = this.#servedMs(slot) < STABLE_MS ? slot.failures + 1 : 1;
    slot.process = undefined;
    slot.isHearing = false;
    slot.isListening = false;
    slot.cancelCheck();
    for (const { slot: asked, settle } of this.#pending.values()) {
      if (asked === slot) settle(undefined);
    }
    this.#keepCounters(slot);
    const how = describeEnd(end);
    if (this.#isStopping) {
      if (wasListening && end.code !== 0) this.#badEnds.push(`worker ${slot.number}: ${how}`);
      this.#checkEnded();
      return;
    }
    // Its own message says why, and the next one would say the same.
    const isRefused = !this.#isStarted && !slot.wasListening && end.signal === null;
    const isFailing = this.#isFailing(slot);
    const canServe = this.#ports !== undefined && !this.#slots.every((one) => this.#isFailing(one));
    if (isRefused || (isFailing && !canServe)) {
      const message = isRefused
        ? `Cannot keep worker ${slot.number} running: it ended at its start, with ${how}`
        : `Cannot keep any worker running: worker ${slot.number} ended ${slot.failures} times soon after its start, with ${how}`;
      this.#failed.reject(new SpillwayError("WORKER_FAILED", message));
      return;
    }
    const delayMs = slot.failures === 1 ? 0 : backoffMs(FIRST_BACKOFF_MS, slot.failures - 1, 0);
    this.#restarts++;
    // Somebody may have told it to drain.
    const level = end.code === 0 && !isFailing ? "info" : "error";
    log[level](isFailing ? FAILING : ENDED, {
      ...{ event: "worker_ended", worker: slot.number, reason: how, seconds: delayMs / 1000 },
      ...(isFailing && { failures: slot.failures }),
    });
    slot.cancelRestart = clock.after(delayMs, () => this.#spawn(slot));
    if (isFailing) this.#checkStarted();
  }

  #checkLater(slot: Slot): void {
    slot.cancelCheck = this.#parts.clock.after(CHECK_MS, () => void this.#check(slot));
  }

  async #check(slot: Slot): Promise<void> {
    const { process } = slot;
    slot.silentChecks++;
    await this.#ask(slot, "readiness");
    // It has ended meanwhile, or is about to.
    if (slot.process !== process || this.#isStopping) return;
    if (slot.silentChecks < MOST_SILENT_CHECKS) {
      this.#checkLater(slot);
      return;
    }
    this.#killSilent(slot, MOST_SILENT_CHECKS * (CHECK_MS + ANSWER_MS));
  }

  #killSilent({ number, process }: Slot, silentMs: number): void {
    this.#parts.log.error("Worker {worker} has not answered for {seconds} seconds and is killed", {
      ...{ event: "worker_silent", worker: number, pid: process?.pid, seconds: silentMs / 1000 },
    });
    process?.kill("SIGKILL");
  }

  #checkEnded(): void {
    if (this.#slots.every(({ process }) => process === undefined)) this.#lastEnd.resolve();
  }

  /** The other workers that take news: they have clients, or are about to. */
  #othersHearing(slot: Slot): Slot[] {
    return this.#slots.filter((other) => other !== slot && other.isHearing);
  }

  /** Asks a worker. Resolves with `undefined` if it doesn't answer. */
  #ask(slot: Slot, question: Question): Promise<unknown> {
    return this.#answerOf(slot, (id) => ({ type: "ask", id, question }), ANSWER_MS);
  }

  /**
   * Sends a worker a message that it answers.
   *
   * @param timeoutMs Default: it waits until the worker answers or ends. One that stands still is killed in the end.
   * @returns `undefined` if it doesn't answer, or ends before.
   */
  async #answerOf(
    slot: Slot,
    message: (id: number) => SupervisorMessage,
    timeoutMs?: number,
  ): Promise<unknown> {
    const { process } = slot;
    if (process === undefined) return undefined;
    const id = ++this.#lastId;
    const answer = new Promise((settle) => {
      this.#pending.set(id, { slot, settle });
      process.send(message(id));
    });
    try {
      if (timeoutMs === undefined) return await answer;
      return await withDeadline(this.#parts.clock, timeoutMs, () => answer);
    } catch {
      return undefined;
    } finally {
      this.#pending.delete(id);
    }
  }

  async #askAll(question: Question): Promise<Answer<unknown>[]> {
    const listening = this.#slots.filter(({ isListening }) => isListening);
    return await Promise.all(
      listening.map(async (slot) => ({
        worker: slot.number,
        value: await this.#ask(slot, question),
      })),
    );
  }

  async #answerOperator({ process }: Slot, id: number): Promise<void> {
    process?.send({ type: "answer", id, answer: await this.onReloadRequest?.() });
  }

  /** Answers a worker's question about all workers. */
  async #answerFor(asker: Slot, id: number, question: Question): Promise<void> {
    const { process } = asker;
    const answer = await this.#answerOfAll(asker, question);
    process?.send({ type: "answer", id, answer });
  }

  async #answerOfAll(asker: Slot, question: Question): Promise<unknown> {
    if (question === "readiness") return await this.#readiness();
    if (question === "status") return await this.#status();
    if (question === "flush") return await this.#flush(asker);
    return await this.#metrics();
  }

  /** Waits until the others have taken all news of a worker. */
  async #flush(sender: Slot): Promise<void> {
    const ask = (slot: Slot): Promise<unknown> =>
      this.#answerOf(slot, (id) => ({ type: "ask", id, question: "flush" }));
    await Promise.all(this.#othersHearing(sender).map(ask));
  }

  async #readiness(): Promise<Readiness> {
    const answers = await this.#askAll("readiness");
    const starting = this.#slots.filter((slot) => !slot.wasListening && !this.#isFailing(slot));
    return mergeReadiness(
      answers as Answer<Readiness | undefined>[],
      starting.map(({ number }) => number),
    );
  }

  async #status(): Promise<Status | undefined> {
    const answers = await this.#askAll("status");
    const given = answers.filter(({ value }) => value !== undefined) as Answer<Status>[];
    if (given.length === 0) return undefined;
    const states = this.#slots.map((slot): WorkerStatus => {
      const { number: worker, process, isListening } = slot;
      const answered = given.some((answer) => answer.worker === worker);
      const notServing = this.#isFailing(slot) ? "failing" : isListening ? "silent" : "starting";
      const state = answered ? "serving" : notServing;
      return { worker, ...(process?.pid !== undefined && { pid: process.pid }), state };
    });
    return mergeStatus(given, states);
  }

  async #metrics(): ReturnType<typeof showTogether> {
    await Promise.all(
      this.#slots.map(async (slot) => {
        const { process } = slot;
        const answer = slot.isListening ? await this.#ask(slot, "metrics") : undefined;
        // Not those of one that has ended meanwhile: its last ones are counted already.
        if (answer !== undefined && slot.process === process) {
          slot.metrics = answer as MetricsSnapshot;
        }
      }),
    );
    await this.#folding;
    const running = this.#slots.flatMap(({ metrics }) => (metrics === undefined ? [] : [metrics]));
    const own = restartsSnapshot(this.#options.name, this.#restarts);
    return await showTogether([...running, this.#ended, own]);
  }

  /** Adds what a worker has counted, as far as somebody was told, to that of earlier ones: so the sums never go back. */
  #keepCounters(slot: Slot): void {
    const { metrics } = slot;
    slot.metrics = undefined;
    if (metrics === undefined) return;
    this.#folding = this.#folding.then(async () => {
      this.#ended = await keepCounters(this.#ended, metrics);
    });
  }

  /** Tells a worker which tokens are revoked, if only the other workers know. */
  async #tellRevocations(slot: Slot): Promise<void> {
    const { process } = slot;
    for (const other of this.#slots) {
      if (other === slot || !other.isListening) continue;
      const entries = await this.#ask(other, "revocations");
      // It stands still: the next one knows as much.
      if (!Array.isArray(entries)) continue;
      if (entries.length > 0) process?.send({ type: "news", news: { kind: "revoked", entries } });
      return;
    }
  }
}
