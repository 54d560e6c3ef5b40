/**
 * The publisher: a thread of the load client that sends messages to NATS at a rate, or as many as the
 * slowest client takes. It posts {@linkcode Published} when it has finished.
 */
import { parentPort, workerData } from "node:worker_threads";
import { NatsWriter } from "./nats-writer.ts";

/** The task of this thread, as its data. */
export interface PublisherTask {
  readonly natsPort: number;
  readonly subject: string;
  readonly payloadBytes: number;
  /** Messages go to this many subjects below `subject` in turn. Default: to itself. */
  readonly subjects?: number;
  /** Messages per second; `undefined`: as many as the slowest client takes. */
  readonly rate?: number;
  /** Without a rate: this many messages are in flight. Default: as many as arrive in {@linkcode IN_FLIGHT_MS}. */
  readonly inFlight?: number;
  readonly flowMs: number;
  /** One number, which the load client renews every millisecond: how many messages its slowest client has. */
  readonly received: Int32Array;
}

export interface Published {
  readonly messages: number;
  readonly seconds: number;
}

const MOST_AT_ONCE = 8192;
/** While NATS has not taken this much, nothing more is written. */
const MOST_UNWRITTEN = 1024 * 1024;
/**
 * Without a rate, this much is in flight: enough for nobody to wait for more. With more of it, the load
 * client would read what is no longer in the processor's cache, half as fast.
 */
const IN_FLIGHT_MS = 50;
const FEWEST_IN_FLIGHT = 64;
/** The pace of the slowest client is taken this often. */
const PACE_MS = 50;

const { natsPort, subject, payloadBytes, subjects, rate, inFlight, flowMs, received } =
  workerData as PublisherTask;
const nats = await NatsWriter.connect(natsPort, subject, payloadBytes, subjects);
const allowed =
  rate === undefined ? followReaders() : (ms: number) => Math.floor((ms * rate) / 1000);
const startMs = performance.now();
const timer = setInterval(async () => {
  const passedMs = performance.now() - startMs;
  if (passedMs < flowMs) {
    if (nats.unwrittenBytes >= MOST_UNWRITTEN) return;
    nats.publish(Math.min(MOST_AT_ONCE, allowed(passedMs) - nats.published));
    return;
  }
  clearInterval(timer);
  await nats.flush();
  parentPort!.postMessage({
    messages: nats.published,
    seconds: passedMs / 1000,
  } satisfies Published);
}, 1);

/** Returns how many messages may be published so that the work in flight stays the same. */
function followReaders(): (passedMs: number) => number {
  if (inFlight !== undefined) return () => Atomics.load(received, 0) + inFlight;
  let window = FEWEST_IN_FLIGHT;
  let seen = { count: 0, ms: 0 };
  return (ms) => {
    const count = Atomics.load(received, 0);
    if (ms - seen.ms >= PACE_MS) {
      const perMs = (count - seen.count) / (ms - seen.ms);
      window = Math.max(FEWEST_IN_FLIGHT, Math.ceil(perMs * IN_FLIGHT_MS));
      seen = { count, ms };
    }
    return count + window;
  };
}
