import type { Host } from "./command.ts";

type Terminal = Pick<Host, "hasColors">;

/** Returns a function that makes a text less bright, if the output shows colours. */
export function dimmer({ hasColors }: Terminal): (text: string) => string {
  return hasColors ? (text) => `\u001b[2m${text}\u001b[22m` : (text) => text;
}

/** Returns a function that makes a text yellow, if the output shows colours. */
export function warner({ hasColors }: Terminal): (text: string) => string {
  return hasColors ? (text) => `\u001b[33m${text}\u001b[39m` : (text) => text;
}
