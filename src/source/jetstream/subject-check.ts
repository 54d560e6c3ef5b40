import type { Log } from "../../core/ports/log.ts";
import type { StreamInput } from "../../core/ports/source.ts";
import { subjectsIntersect } from "../../core/subject/subject.ts";
import type { StreamApi, StreamInfo } from "./stream-api.ts";

/** In a stream with more subjects than this, messages are not counted by subject: it takes the server too long. */
const MAX_COUNTED_SUBJECTS = 100_000;

/** Compares the subjects that are configured for a stream with those of the messages that it holds. */
export class SubjectCheck {
  readonly #input: StreamInput;
  readonly #log: Log;
  #problem: string | undefined;

  constructor(input: StreamInput, log: Log) {
    this.#input = input;
    this.#log = log;
  }

  /** Which configured subjects fit nothing that the stream has, in words for people. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /**
   * Looks for configured subjects that fit nothing, and logs new ones.
   *
   * @returns the patterns that all messages of the stream fit; `undefined` if they are not known, as the
   * stream may hold messages from before its subjects were edited.
   */
  async run(api: StreamApi, info: StreamInfo): Promise<readonly string[] | undefined> {
    const { name, subjects } = this.#input;
    const { captures, subjects: held } = info;
    if (captures === undefined) {
      this.#report([]);
      return undefined;
    }
    const isCounted = held <= MAX_COUNTED_SUBJECTS;
    const count = async (pattern: string): Promise<number> =>
      held === 0 || !isCounted ? 0 : await api.countSubjects(name, pattern);
    try {
      const isCaptured = (one: string) => captures.some((other) => subjectsIntersect(one, other));
      const misfits: string[] = [];
      for (const subject of subjects) {
        if (!isCaptured(subject) && (await count(subject)) === 0) misfits.push(subject);
      }
      this.#report(misfits);
      if (!isCounted) return captures;
      let known = 0;
      for (const pattern of captures) known += await count(pattern);
      return known < held ? undefined : captures;
    } catch {
      return captures;
    }
  }

  #report(misfits: readonly string[]): void {
    const { name } = this.#input;
    const subjects = misfits.join(", ");
    const problem =
      misfits.length === 0
        ? undefined
        : `stream ${name} doesn't store ${subjects}: none of its subjects matches`;
    if (problem !== undefined && problem !== this.#problem) {
      this.#log.warn("Stream {stream} doesn't store {subjects}: none of its subjects matches", {
        event: "stream_misfit",
        stream: name,
        subjects,
      });
    }
    this.#problem = problem;
  }
}
