import type { TextFrame } from "../core/ports/text-frame.ts";

/**
 * What frames say, for runtimes whose sockets want texts. In at-least-once, each client of an audience is
 * given the same list of frames: it is decoded once.
 */
export class TextCache {
  #frames: readonly TextFrame[] | undefined;
  #texts: readonly string[] = [];

  of(frames: readonly TextFrame[]): readonly string[] {
    if (frames !== this.#frames) {
      this.#texts = frames.map(({ text }) => text);
      this.#frames = frames;
    }
    return this.#texts;
  }
}
