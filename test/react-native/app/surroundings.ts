/** The globals of an app: those that React Native sets, by its own files, and those that its engine got after Hermes 0.12. */
declare const require: (file: string) => Readonly<Record<string, unknown>>;

const globals = globalThis as unknown as Record<string, unknown>;
const DOM = {
  event: () => require("react-native/src/private/webapis/dom/events/Event"),
  target: () => require("react-native/src/private/webapis/dom/events/EventTarget"),
  controller: () => require("react-native/src/private/webapis/dom/abort-api/AbortController"),
  signal: () => require("react-native/src/private/webapis/dom/abort-api/AbortSignal"),
};

globals.performance ??= { now: Date.now };
globals.window = globalThis;
globals.self = globalThis;
globals.nativeModuleProxy ??= {};
globals.Event = DOM.event().default;
globals.EventTarget = DOM.target().default;
globals.AbortController = DOM.controller().AbortController;
globals.AbortSignal = DOM.signal().AbortSignal_public;

// The engine's program has one queue for promises and for what it calls later: all promises must have run before.
const { setImmediate } = globalThis;
const STEPS = 100;
globals.setImmediate = (run: () => void): void => {
  let steps = 0;
  const step = (): void => void (steps++ < STEPS ? setImmediate(step) : run());
  step();
};

/** Since React Native 0.74. */
const CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
globals.atob ??= (text: string): string => {
  let bits = "";
  for (const char of text.replace(/=+$/, "")) {
    bits += CHARS.indexOf(char).toString(2).padStart(6, "0");
  }
  return (bits.match(/.{8}/g) ?? []).map((byte) => String.fromCharCode(parseInt(byte, 2))).join("");
};
globals.btoa ??= (text: string): string => {
  let bits = "";
  for (const char of text) bits += char.charCodeAt(0).toString(2).padStart(8, "0");
  const sextets = bits.match(/.{1,6}/g) ?? [];
  const chars = sextets.map((sextet) => CHARS[parseInt(sextet.padEnd(6, "0"), 2)]).join("");
  return chars.padEnd(Math.ceil(chars.length / 4) * 4, "=");
};
globals.TextEncoder ??= class {
  encode(text: string): Uint8Array {
    const bytes = unescape(encodeURIComponent(text));
    return Uint8Array.from(bytes, (char) => char.charCodeAt(0));
  }
};
// Only the tests need it.
if (Array.prototype.at === undefined) {
  Object.defineProperty(Array.prototype, "at", {
    value(this: unknown[], index: number) {
      return this[index < 0 ? this.length + index : index];
    },
  });
}
