/**
 * `node host-program.ts <bundle> <platform> <url>`: runs the app of a bundle at a gateway, without the globals that React Native
 * doesn't have.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { runInThisContext } from "node:vm";
import { nativeWebSocket } from "./native-web-socket.ts";

const [bundle, platform, url] = process.argv.slice(2);

interface Emitter {
  emit(name: string, body: object): void;
}

const app = globalThis as unknown as Record<string, unknown>;
for (const name of [
  ...["WebSocket", "EventTarget", "Event", "MessageEvent", "CloseEvent", "AbortController"],
  ...["AbortSignal", "ReadableStream", "TextDecoder", "structuredClone", "BroadcastChannel"],
  ...["crypto", "navigator", "fetch", "Response"],
]) {
  delete app[name];
}
const modules: Readonly<Record<string, object>> = {
  PlatformConstants: { getConstants: () => ({}) },
  WebSocketModule: nativeWebSocket(platform as "android" | "ios", (name, body) => {
    (app.__rctDeviceEventEmitter as Emitter).emit(name, body);
  }),
};
app.__turboModuleProxy = (name: string) => modules[name];
app.print = (line: string) => process.stdout.write(`${line}\n`);
app.PROGRAM = "receive";
app.GATEWAY = url;
runInThisContext(readFileSync(bundle!, "utf8"), { filename: bundle! });
