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
  showTogether,
  supervisorSnapshot,
} from "../metrics/worker-metrics.ts";
import { type Answer, mergeReadiness, mergeStatus } from "./merge-status.ts";
import {
  MOST_LEAVING_MS,
  type Question,
  type SupervisorMessage,
  type WorkerMessage,
} from "./messages.ts";
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
/** The longest time in which a worker must take the posts of another one. After that, it misses some. */
const FLUSH_MS = 2000;
/** The longest time that the reload of a worker may take. */
const RELOAD_MS = 30_000;
/** A worker that does not listen by then is killed. */
const START_MS = 120_000;
/** The wait before a worker that was told to end is replaced: if the whole group of processes got the signal, the supervisor hears it meanwhile. */
const LEAVE_DELAY_MS = 100;
/** The time between two checks whether a worker still answers. */
const CHECK_MS = 5000;
/** A worker that says nothing in so many checks, one after another, is killed: the kernel goes on to give it new connections. */
const MOST_SILENT_CHECKS = 6;
/** After so many of them, nothing waits for it any more. */
const SILENT_CHECKS = 2;

const ENDED = "Worker {worker} has ended with {reason}; it is replaced in {seconds} seconds";
const FAILING =
  "Worker {worker} has ended {failures} times soon after its start, now with {reason}; the others serve, and it is tried again in {seconds} seconds";
const LEAVING =
  "Worker {worker} was told to end: another process takes its place in {seconds} seconds, and then it drains";
const SILENT = "Worker {worker} has not answered for {seconds} seconds and is killed";
const LATE = "The earlier worker {worker} has not ended in {seconds} seconds and is killed";
const LEFT = "The earlier worker {worker} has ended with {reason}";

/** A question of a worker about all of them. */
type Asked = Extract<WorkerMessage, { type: "ask" }>;

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

/** The place of a worker, whose processes take turns. */
interface Slot {
  readonly number: number;
  /** The process that serves or starts; not one that leaves. */
  member: Member | undefined;
  /** Whether a process has listened since the gateway was started. */
  wasListening: boolean;
  /** Failures at the start, one after another. */
  failures: number;
  cancelRestart: Cancel;
}

/** The process of a worker, until it ends. */
interface Member {
  readonly slot: Slot;
  /** `undefined` while it is being started. */
  process: WorkerProcess | undefined;
  /** Whether it takes news. */
  isHearing: boolean;
  isListening: boolean;
  /** The time when it began to listen. */
  listensSinceMs: number;
  /** The file of the configuration that it got at its start. */
  file: ConfigFile | undefined;
  /** The number of checks since it has said something. */
  silentChecks: number;
  /** The id of the last question to any worker when it said something. */
  heardAt: number;
  /** Whether it gave no answer in time, and has said nothing since it was asked. */
  isSilent: boolean;
  /** Whether it gets no posts, as it didn't take earlier ones. It is told so as soon as it says something. */
  missesPosts: boolean;
  cancelCheck: Cancel;
  /** Its last answer about its metrics. */
  metrics: MetricsSnapshot | undefined;
  /** Whether these metrics are its last ones. */
  hasStopped: boolean;
  /** Somebody has told it to end: it serves until another process listens in its place, and then drains. */
  isLeaving: boolean;
  /** Another process listens in its place. */
  isReplaced: boolean;
}

/** A question to a worker. */
interface Pending {
  readonly member: Member;
  settle(answer: unknown): void;
}

/** Starts workers, replaces those that end, and answers for all of them. Serves no client itself. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #parts: SupervisorParts;
  readonly #slots: Slot[];
  /** All processes that run. */
  readonly #members = new Set<Member>();
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
      ...{ number: index + 1, member: undefined, wasListening: false, failures: 0 },
      cancelRestart: () => {},
    }));
    this.#failed.promise.catch(() => {});
  }

  /** The number of workers that listen. */
  get listening(): number {
    return this.#slots.filter(({ member }) => member?.isListening).length;
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
    for (const { cancelRestart } of this.#slots) cancelRestart();
    for (const { cancelCheck, process } of [...this.#members]) {
      cancelCheck();
      process?.kill("SIGKILL");
    }
  }

  /**
   * Reloads the configuration of all workers: first of one that answers, and only if that one takes it, of the others. Workers that
   * start later get the file that the last successful reload had. One reload comes after the other, and the first one after the start.
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
    const asked = new Set<Member>();
    const late: number[] = [];
    const reload = async (member: Member): Promise<ReloadAnswer | undefined> => {
      asked.add(member);
      const answer = await this.#reloadOne(member, file);
      if (answer === undefined) late.push(member.slot.number);
      return answer;
    };
    const lateFault = (): ReloadAnswer =>
      this.#reloadFault(
        `worker ${late[0]} doesn't answer yet, and may take the configuration later`,
      );
    let first: ReloadAnswer | undefined;
    while (first === undefined) {
      const next = this.#listening.find((one) => !one.isLeaving && !asked.has(one));
      if (next !== undefined) first = await reload(next);
      else return late.length > 0 ? lateFault() : this.#reloadFault("no worker runs now");
    }
    if ("fault" in first) return first;
    this.#file = file ?? this.#file;
    // Another one may have begun to listen meanwhile.
    const others = this.#listening.filter((member) => !asked.has(member));
    const answers = await Promise.all(others.map(reload));
    const fault = answers.find((one) => one !== undefined && "fault" in one);
    return fault ?? (late.length > 0 ? lateFault() : first);
  }

  /** @returns `undefined` if it doesn't answer. */
  async #reloadOne(
    member: Member,
    file: ConfigFile | undefined,
  ): Promise<ReloadAnswer | undefined> {
    const timeoutMs = member.isSilent ? 0 : RELOAD_MS;
    const answer = await this.#answerOf(member, (id) => ({ type: "reload", id, file }), timeoutMs);
    if (answer !== undefined || this.#members.has(member)) return answer as ReloadAnswer;
    if (member.isLeaving) return { changes: [] };
    return this.#reloadFault(`worker ${member.slot.number} ended meanwhile`);
  }

  /** Says why a reload failed that no worker has refused: a worker would log it itself. */
  #reloadFault(reason: string): ReloadAnswer {
    this.#parts.log.error("Cannot reload the configuration: {reason}", {
      event: "config_reload_failed",
      reason,
    });
    return { fault: "unfinished", reason: `${reason}. Ask again` };
  }

  async #stop(order: "drain" | "stop", atMostMs: number): Promise<void> {
    this.#isStopping = true;
    for (const { cancelRestart } of this.#slots) cancelRestart();
    for (const { process, isListening, cancelCheck } of [...this.#members]) {
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
    const member: Member = {
      ...{ slot, process: undefined, file: this.#options.file, metrics: undefined },
      ...{ isHearing: false, isListening: false, isLeaving: false, isReplaced: false },
      ...{ hasStopped: false, isSilent: false, missesPosts: false },
      ...{ listensSinceMs: 0, silentChecks: 0, heardAt: 0, cancelCheck: () => {} },
    };
    slot.member = member;
    this.#members.add(member);
    try {
      member.process = spawn(assignment, {
        said: (message) => {
          // The last messages of a process may arrive after its end.
          if (this.#members.has(member) || OF_ALL.includes(message.type)) {
            this.#take(member, message);
          }
        },
        ended: (end) => this.#hasEnded(member, end),
      });
    } catch (error) {
      this.#hasEnded(member, { code: null, signal: null, reason: reasonOf(error) });
      return;
    }
    member.cancelCheck = clock.after(START_MS, () => this.#killSilent(member, START_MS));
    log.debug("Worker {worker} is started", {
      ...{ event: "worker_started", worker: number, pid: member.process.pid },
    });
  }

  #take(member: Member, message: WorkerMessage): void {
    // An answer that comes too late counts, too: such a worker is slow, and doesn't stand still.
    member.silentChecks = 0;
    member.heardAt = this.#lastId;
    member.isSilent = false;
    if (member.missesPosts) {
      member.missesPosts = false;
      member.process?.send({ type: "news", news: { kind: "missed" } });
    }
    switch (message.type) {
      case "listening":
        this.#hasListened(member, message);
        break;
      case "ask":
        void this.#answerFor(member, message);
        break;
      case "answer":
        this.#pending.get(message.id)?.settle(message.answer);
        break;
      case "news":
        for (const other of this.#othersHearing(member)) {
          if (message.news.kind !== "posted" || !other.missesPosts) other.process?.send(message);
        }
        break;
      case "leaving":
        this.#leaves(member);
        break;
      case "stopped":
        member.metrics = message.metrics;
        member.hasStopped = true;
        member.process?.send({ type: "answer", id: message.id });
        break;
      case "hearing":
        member.isHearing = true;
        break;
      case "drain":
        this.onDrainRequest?.();
        break;
      case "file":
        member.file = this.#file;
        member.process?.send({ type: "file", file: this.#file });
        break;
      case "reload":
        void this.#answerOperator(member, message.id);
    }
  }

  #hasListened(member: Member, ports: WorkerPorts): void {
    const { slot } = member;
    const isFirst = this.#ports === undefined;
    this.#ports ??= { port: ports.port, adminPort: ports.adminPort };
    member.isListening = true;
    member.listensSinceMs = this.#parts.clock.nowMs();
    if (slot.wasListening) {
      this.#parts.log.info("Worker {worker} serves again", {
        ...{ event: "worker_replaced", worker: slot.number, pid: member.process?.pid },
      });
    }
    slot.wasListening = true;
    if (this.#isStopping) {
      member.process?.kill("SIGKILL");
      return;
    }
    // The configuration was reloaded while it started.
    if (member.file !== this.#file) void this.#reloadOne(member, this.#file);
    member.cancelCheck();
    this.#checkLater(member);
    void this.#tellRevocations(member);
    for (const before of this.#members) if (before.slot === slot) this.#letGo(before);
    if (isFirst) for (const other of this.#slots) if (other !== slot) this.#spawn(other);
    this.#checkStarted();
  }

  /** Somebody has told a worker to end. It serves until another one listens in its place, so that the port and the readiness stay. */
  #leaves(member: Member): void {
    const { clock, log } = this.#parts;
    const { slot, process } = member;
    if (member.isLeaving || this.#isStopping) return;
    if (!member.isListening) {
      process?.send({ type: "leave" });
      return;
    }
    const delayMs = Math.max(LEAVE_DELAY_MS, this.#countEnd(slot));
    member.isLeaving = true;
    slot.member = undefined;
    log.info(LEAVING, {
      ...{ event: "worker_leaving", worker: slot.number, pid: process?.pid },
      seconds: delayMs / 1000,
    });
    slot.cancelRestart = clock.after(delayMs, () => this.#spawn(slot));
    const atMostMs = MOST_LEAVING_MS + this.limits.maxDrainMs;
    member.cancelCheck();
    member.cancelCheck = clock.after(atMostMs, () => this.#killSilent(member, atMostMs));
  }

  /** Lets a worker drain that was only waiting for another one in its place. */
  #letGo(member: Member): void {
    if (!member.isLeaving || member.isReplaced) return;
    member.isReplaced = true;
    member.process?.send({ type: "leave" });
  }

  #checkStarted(): void {
    const isUp = (slot: Slot): boolean => slot.wasListening || this.#isFailing(slot);
    if (this.#ports === undefined || !this.#slots.every(isUp)) return;
    this.#isStarted = true;
    this.#ready.resolve(this.#ports);
  }

  /** Whether a worker has failed at its start again and again, the last time included. */
  #isFailing(slot: Slot): boolean {
    return slot.failures > MAX_FAILURES && this.#servedMs(slot.member) < STABLE_MS;
  }

  #servedMs(member: Member | undefined): number {
    return member?.isListening ? this.#parts.clock.nowMs() - member.listensSinceMs : 0;
  }

  /** Counts the end of a worker. @returns the wait before the next one is started. */
  #countEnd(slot: Slot): number {
    slot.failures = this.#servedMs(slot.member) < STABLE_MS ? slot.failures + 1 : 1;
    this.#restarts++;
    return slot.failures === 1 ? 0 : backoffMs(FIRST_BACKOFF_MS, slot.failures - 1, 0);
  }

  #hasEnded(member: Member, end: WorkerEnd): void {
    const { clock, log } = this.#parts;
    const { slot, isListening, isLeaving } = member;
    this.#members.delete(member);
    member.cancelCheck();
    this.#waitNoMore(member);
    this.#keepCounters(member);
    const how = describeEnd(end);
    if (this.#isStopping) {
      if (isListening && end.code !== 0) this.#badEnds.push(`worker ${slot.number}: ${how}`);
      this.#checkEnded();
      return;
    }
    // Somebody may have told it to end.
    const level = end.code === 0 ? "info" : "error";
    if (isLeaving) {
      log[level](LEFT, { event: "worker_ended", worker: slot.number, reason: how });
      return;
    }
    const delayMs = this.#countEnd(slot);
    slot.member = undefined;
    // Its own message says why, and the next one would say the same.
    const isRefused =
      !this.#isStarted && !slot.wasListening && end.signal === null && end.code !== 0;
    const isFailing = this.#isFailing(slot);
    const canServe = this.#ports !== undefined && !this.#slots.every((one) => this.#isFailing(one));
    if (isRefused || (isFailing && !canServe)) {
      const message = isRefused
        ? `Cannot keep worker ${slot.number} running: it ended at its start, with ${how}`
        : `Cannot keep any worker running: worker ${slot.number} ended ${slot.failures} times soon after its start, with ${how}`;
      this.#failed.reject(new SpillwayError("WORKER_FAILED", message));
      return;
    }
    log[isFailing ? "error" : level](isFailing ? FAILING : ENDED, {
      ...{ event: "worker_ended", worker: slot.number, reason: how, seconds: delayMs / 1000 },
      ...(isFailing && { failures: slot.failures }),
    });
    slot.cancelRestart = clock.after(delayMs, () => this.#spawn(slot));
    if (isFailing) this.#checkStarted();
  }

  #checkLater(member: Member): void {
    member.cancelCheck = this.#parts.clock.after(CHECK_MS, () => void this.#check(member));
  }

  async #check(member: Member): Promise<void> {
    member.silentChecks++;
    await this.#askPatiently(member, "readiness");
    // It has ended meanwhile, or is about to.
    if (!this.#members.has(member) || member.isLeaving || this.#isStopping) return;
    if (member.silentChecks >= SILENT_CHECKS) this.#waitNoMore(member);
    if (member.silentChecks < MOST_SILENT_CHECKS) {
      this.#checkLater(member);
      return;
    }
    this.#killSilent(member, MOST_SILENT_CHECKS * (CHECK_MS + ANSWER_MS));
  }

  /** Ends all waits for answers of a worker. */
  #waitNoMore(member: Member): void {
    for (const { member: asked, settle } of this.#pending.values()) {
      if (asked === member) settle(undefined);
    }
  }

  #killSilent({ slot, process, isLeaving }: Member, silentMs: number): void {
    this.#parts.log.error(isLeaving ? LATE : SILENT, {
      ...{ event: "worker_silent", worker: slot.number, pid: process?.pid },
      seconds: silentMs / 1000,
    });
    process?.kill("SIGKILL");
  }

  #checkEnded(): void {
    if (this.#members.size === 0) this.#lastEnd.resolve();
  }

  /** The processes that listen. */
  get #listening(): Member[] {
    return [...this.#members].filter(({ isListening }) => isListening);
  }

  /** The other workers that take news: they have clients, or are about to. */
  #othersHearing(member: Member): Member[] {
    return [...this.#members].filter((other) => other !== member && other.isHearing);
  }

  /** Asks a worker. Resolves with `undefined` if it doesn't answer: at once if it didn't before either. */
  async #ask(member: Member, question: Question): Promise<unknown> {
    return member.isSilent ? undefined : await this.#askPatiently(member, question);
  }

  /** The same, but waits for the answer also if there was none before. */
  #askPatiently(member: Member, question: Question): Promise<unknown> {
    return this.#answerOf(member, (id) => ({ type: "ask", id, question }), ANSWER_MS);
  }

  /**
   * Sends a worker a message that it answers.
   *
   * @returns `undefined` if it doesn't answer, or ends before.
   */
  async #answerOf(
    member: Member,
    message: (id: number) => SupervisorMessage,
    timeoutMs: number,
  ): Promise<unknown> {
    if (!this.#members.has(member)) return undefined;
    const id = ++this.#lastId;
    const answer = new Promise((settle) => {
      this.#pending.set(id, { member, settle });
      member.process?.send(message(id));
    });
    try {
      return await withDeadline(this.#parts.clock, timeoutMs, () => answer);
    } catch {
      member.isSilent = member.heardAt < id;
      return undefined;
    } finally {
      this.#pending.delete(id);
    }
  }

  async #answerOperator({ process }: Member, id: number): Promise<void> {
    process?.send({ type: "answer", id, answer: await this.onReloadRequest?.() });
  }

  /** Answers a worker's question about all workers. */
  async #answerFor(asker: Member, asked: Asked): Promise<void> {
    const answer = await this.#answerOfAll(asker, asked);
    asker.process?.send({ type: "answer", id: asked.id, answer });
  }

  async #answerOfAll(asker: Member, { question, own }: Asked): Promise<unknown> {
    if (question === "readiness") return await this.#readiness(asker, own);
    if (question === "status") return await this.#status();
    if (question === "flush") return await this.#flush(asker);
    return await this.#metrics();
  }

  /** Waits until the others have taken all news of a worker. One that stands still misses later posts, and isn't waited for. */
  async #flush(sender: Member): Promise<void> {
    await Promise.all(
      this.#othersHearing(sender).map(async (member) => {
        if (member.missesPosts) return;
        const ask = (): Promise<unknown> =>
          this.#answerOf(member, (id) => ({ type: "ask", id, question: "flush" }), FLUSH_MS);
        while ((await ask()) === undefined && this.#members.has(member)) {
          member.missesPosts = member.isSilent;
          if (member.missesPosts) return;
        }
      }),
    );
  }

  async #readiness(asker: Member, own: unknown): Promise<Readiness> {
    const serving = this.#listening.filter(({ isReplaced }) => !isReplaced);
    const answers = await Promise.all(
      serving.map(async (member) => ({
        worker: member.slot.number,
        value: member === asker && own !== undefined ? own : await this.#ask(member, "readiness"),
      })),
    );
    const starting = this.#slots.filter((slot) => !slot.wasListening && !this.#isFailing(slot));
    return mergeReadiness(
      answers as Answer<Readiness | undefined>[],
      starting.map(({ number }) => number),
      this.#isStopping,
    );
  }

  async #status(): Promise<Status | undefined> {
    const answering = new Set<Member>();
    const answers = await Promise.all(
      this.#listening.map(async (member) => {
        const value = await this.#ask(member, "status");
        if (value !== undefined) answering.add(member);
        return { worker: member.slot.number, value };
      }),
    );
    const given = answers.filter(({ value }) => value !== undefined) as Answer<Status>[];
    if (given.length === 0) return undefined;
    const stateOf = (slot: Slot, member: Member | undefined): WorkerStatus["state"] => {
      if (member?.isReplaced) return "draining";
      if (member !== undefined && answering.has(member)) return "serving";
      if (this.#isFailing(slot)) return "failing";
      return member?.isListening ? "silent" : "starting";
    };
    const states = this.#slots.flatMap((slot) => {
      const leaving = [...this.#members].filter((one) => one.isLeaving && one.slot === slot);
      return [...leaving, slot.member].map((member): WorkerStatus => {
        const pid = member?.process?.pid;
        return {
          worker: slot.number,
          ...(pid !== undefined && { pid }),
          state: stateOf(slot, member),
        };
      });
    });
    return mergeStatus(given, states);
  }

  async #metrics(): ReturnType<typeof showTogether> {
    await Promise.all(
      this.#listening.map(async (member) => {
        const answer = await this.#ask(member, "metrics");
        // Later ones are there already if it has stopped meanwhile, and are counted if it has ended.
        if (answer !== undefined && !member.hasStopped) member.metrics = answer as MetricsSnapshot;
      }),
    );
    let folding: Promise<void>;
    do {
      folding = this.#folding;
      await folding;
    } while (folding !== this.#folding);
    const running = [...this.#members].flatMap(({ metrics }) => (metrics ? [metrics] : []));
    const own = supervisorSnapshot(this.#options.name, {
      worker_restarts_total: this.#restarts,
      workers_silent: this.#listening.filter(({ isSilent }) => isSilent).length,
    });
    return await showTogether([...running, this.#ended, own]);
  }

  /** Adds what a worker has counted, as far as somebody was told, to that of earlier ones: so the sums never go back. */
  #keepCounters({ metrics }: Member): void {
    if (metrics === undefined) return;
    this.#folding = this.#folding.then(async () => {
      this.#ended = await keepCounters(this.#ended, metrics);
    });
  }

  /** Tells a worker which tokens are revoked, if only the other workers know. */
  async #tellRevocations(member: Member): Promise<void> {
    for (const other of this.#listening) {
      if (other === member) continue;
      const entries = await this.#askPatiently(other, "revocations");
      // It stands still: the next one knows as much.
      if (!Array.isArray(entries)) continue;
      if (entries.length > 0) {
        member.process?.send({ type: "news", news: { kind: "revoked", entries } });
      }
      return;
    }
  }
}
