import type { Frame } from "../core/ports/socket.ts";

/**
 * Decodes frames for runtimes whose sockets take texts. It remembers the last list of frames: in at-least-once, all
 * clients of an audience get the same list.
 */
export class TextCache {
  #frames: readonly Frame[] | undefined;
  #texts: readonly string[] = [];

  of(frames: readonly Frame[]): readonly string[] {
    if (frames !== this.#frames) {
      this.#texts = frames.map(({ text }) => text);
      this.#frames = frames;
    }
    return this.#texts;
  }
}
