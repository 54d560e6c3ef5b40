import type { ServerFrame } from "../../protocol/server-frames.ts";

/** A JSON text on one line, that is part of a frame as it is: nothing of it is rounded or written anew. */
export class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Returns a frame as JSON. */
export function frameText(frame: ServerFrame): string {
  if (frame.type !== "response" || !(frame.payload instanceof RawJson))
    return JSON.stringify(frame);
  const { payload, ...others } = frame;
  return `${JSON.stringify(others).slice(0, -1)},"payload":${payload.text}}`;
}
