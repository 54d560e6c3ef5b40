import { Buffer } from "node:buffer";
import type { RevocationEntry } from "../access/revocation-entry.ts";
import type { Clock } from "../core/ports/clock.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { SourceMessage } from "../core/ports/source.ts";
import { withDeadline } from "../core/timing/deadline.ts";
import type { Siblings, WorkerReport } from "../gateway/siblings.ts";
import type { ReloadAnswer } from "../http/reload.ts";
import type { MetricsPage, Readiness, Status } from "../http/status.ts";
import type { News, Question, SupervisorMessage, WorkerMessage } from "./messages.ts";
import { PostWindow } from "./post-window.ts";

/** The time that a worker waits for the supervisor's answer: longer than the supervisor waits for all workers. */
const ANSWER_MS = 2000;
/** The same for a reload, which the workers carry out one after the other. */
const RELOAD_MS = 90_000;

/** The other workers, as a worker sees them through its supervisor. */
export class WorkerSiblings implements Siblings {
  readonly announces: boolean;
  readonly #send: (message: WorkerMessage) => void;
  readonly #clock: Pick<Clock, "after">;
  readonly #asked = new Map<number, (answer: unknown) => void>();
  readonly #window = new PostWindow(() =>
    this.#answerTo((id) => ({ type: "ask", id, question: "flush" })),
  );
  #report: WorkerReport | undefined;
  #lastId = 0;
  #isOrphaned = false;

  /** @param send sends to the supervisor. */
  constructor(
    announces: boolean,
    send: (message: WorkerMessage) => void,
    clock: Pick<Clock, "after">,
  ) {
    this.announces = announces;
    this.#send = send;
    this.#clock = clock;
  }

  join(report: WorkerReport): void {
    this.#report = report;
  }

  opens(): void {
    this.#send({ type: "hearing" });
  }

  async stopped(timeoutMs: number): Promise<void> {
    const report = this.#report;
    this.#report = undefined;
    if (report === undefined) return;
    const metrics = await report.metrics();
    // Without an answer, they may have come all the same.
    await this.#answerTo((id) => ({ type: "stopped", id, metrics }), timeoutMs).catch(() => {});
  }

  /** The supervisor is gone: nobody answers any more. */
  orphaned(): void {
    this.#isOrphaned = true;
    for (const answered of this.#asked.values()) answered(undefined);
  }

  /** Takes a message of the supervisor, if it isn't an order to stop. */
  take(message: SupervisorMessage): void {
    if (message.type === "ask") void this.#answer(message.id, message.question);
    else if (message.type === "answer") this.#asked.get(message.id)?.(message.answer);
    else if (message.type === "news") this.#hear(message.news);
  }

  async readiness(): Promise<Readiness> {
    const own = this.#report?.readiness();
    const answer = await this.#ask("readiness", own).catch(() => undefined);
    return (answer ?? own) as Readiness;
  }

  async status(): Promise<Status> {
    const answer = await this.#ask("status").catch(() => undefined);
    return (answer ?? this.#report?.status()) as Status;
  }

  async metrics(): Promise<MetricsPage> {
    const answer = await this.#ask("metrics");
    if (answer === undefined) throw new Error("the workers' supervisor has no metrics");
    return answer as MetricsPage;
  }

  /** Asks for a reload of all workers. Never rejects. */
  async reload(): Promise<ReloadAnswer> {
    try {
      const answer = await this.#answerTo((id) => ({ type: "reload", id }), RELOAD_MS);
      if (answer !== undefined) return answer as ReloadAnswer;
      return { fault: "unfinished", reason: "the workers' supervisor is gone" };
    } catch (error) {
      return { fault: "unfinished", reason: reasonOf(error) };
    }
  }

  posted({ subject, data, headers }: SourceMessage): void {
    const news: News = {
      ...{ kind: "posted", subject, data: Buffer.from(data).toString("base64") },
      ...(headers !== undefined && { headers: [...headers] }),
    };
    this.#send({ type: "news", news });
    this.#window.sent(data.length);
  }

  whenRoom(post: () => void, signal: AbortSignal): void {
    this.#window.whenRoom(post, signal);
  }

  revoked(entries: readonly RevocationEntry[]): void {
    this.#send({ type: "news", news: { kind: "revoked", entries } });
  }

  #ask(question: Question, own?: unknown): Promise<unknown> {
    return this.#answerTo((id) => ({ type: "ask", id, question, own }), ANSWER_MS);
  }

  /**
   * @param timeoutMs Default: it waits for as long as it takes.
   * @returns `undefined` if the supervisor is gone.
   * @throws Error if there is no answer in time.
   */
  async #answerTo(message: (id: number) => WorkerMessage, timeoutMs?: number): Promise<unknown> {
    if (this.#isOrphaned) return undefined;
    const id = ++this.#lastId;
    const asked = (): Promise<unknown> =>
      new Promise((resolve) => {
        this.#asked.set(id, resolve);
        this.#send(message(id));
      });
    try {
      if (timeoutMs === undefined) return await asked();
      const late = (): Error => new Error("the workers' supervisor doesn't answer");
      return await withDeadline(this.#clock, timeoutMs, asked, late);
    } finally {
      this.#asked.delete(id);
    }
  }

  async #answer(id: number, question: Question): Promise<void> {
    const ask = async (): Promise<unknown> =>
      question === "flush" ? true : await this.#report?.[question]();
    // An answer that can't be made is as good as none.
    const answer = await ask().catch(() => undefined);
    this.#send({ type: "answer", id, answer });
  }

  #hear(news: News): void {
    if (news.kind === "revoked") {
      this.#report?.revoked(news.entries);
      return;
    }
    if (news.kind === "missed") {
      this.#report?.missed();
      return;
    }
    const { subject, data, headers } = news;
    this.#report?.posted({
      subject,
      data: new Uint8Array(Buffer.from(data, "base64")),
      headers: headers && new Map(headers),
    });
  }
}
