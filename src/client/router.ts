import type { ClientFrame } from "../protocol/client-frames.ts";
import type { EndFrame, GapFrame } from "../protocol/server-frames.ts";
import { Acks } from "./acks.ts";
import { gatewayError, SpillwayError } from "./errors.ts";
import { Feed, type FeedSink } from "./feed.ts";
import type { Platform } from "./platform.ts";
import { positionOf } from "./position.ts";
import type { DataFrame, IncomingFrame, Welcome } from "./transport.ts";

/** A frame, and the subscription that it is for: by default, all that want it. */
type Directed<Frame> = Frame & { readonly sub?: string };

/** Takes what is for a subscription that this client has no loop for. */
const NOBODY: FeedSink = { subscribed() {}, data() {}, note() {}, failed() {} };

/** The time between two notices to the gateway that a loop is too slow. */
const SLOW_MS = 2000;

/** Whether a subscription wants messages from before it is asked for. */
function wantsOlder({ cursor, request: { durable, from } }: Feed): boolean {
  return durable === undefined && (cursor !== undefined || from !== "new");
}

/**
 * Brings each frame to the subscriptions that it is for, and asks the gateway for them on each connection.
 *
 * A message doesn't name its subscriptions, and comes once however many want it. While one of them catches up, a message
 * that another one may have brought is held back for it until its own replay is there: each gets its messages in order.
 */
export class Router {
  readonly acks: Acks<Feed>;
  isAtLeastOnce = false;
  readonly #feeds = new Set<Feed>();
  readonly #send: (frame: ClientFrame) => void;
  readonly #platform: Platform;
  readonly #slow = new Set<Feed>();
  #cancelSlow: (() => void) | undefined;
  #isReady = false;
  /** Whether frames say which subscription they are for. */
  #isDirected = false;
  /** Subscriptions that have ended here, by name: their messages may still come until the gateway confirms it. */
  readonly #leaving = new Map<string, Feed>();
  /** Subscriptions that were asked for since the gateway has last sent anything that others may have missed. */
  readonly #fresh = new Set<Feed>();
  /** The subscriptions that were given the last message: its `end` follows it. */
  #takers: readonly Feed[] = [];

  constructor(send: (frame: ClientFrame) => void, platform: Platform) {
    this.#send = send;
    this.#platform = platform;
    this.acks = new Acks<Feed>(
      send,
      platform,
      () => this.#isInOrder(),
      ({ sink }, frame) => sink.data(frame),
    );
  }

  add(feed: Feed): void {
    this.#feeds.add(feed);
    if (this.#isReady) this.#ask([feed]);
  }

  /** Ends a subscription. */
  remove(feed: Feed): void {
    this.slow(feed, false);
    if (!this.#feeds.delete(feed)) return;
    feed.cancelRetry();
    this.#leave(feed);
    // Its loop gets none of what it holds back.
    this.#settle(feed, feed.restart(), feed.request.durable === undefined);
  }

  /** Tells the gateway for as long as a loop takes its messages too slowly. */
  slow(feed: Feed, isSlow: boolean): void {
    if (isSlow) this.#slow.add(feed);
    else this.#slow.delete(feed);
    const isAny = this.#slow.size > 0;
    if (isAny === (this.#cancelSlow !== undefined)) return;
    this.#cancelSlow?.();
    this.#cancelSlow = undefined;
    if (isAny) this.#sendSlow();
    else this.#send({ type: "ok" });
  }

  #sendSlow(): void {
    this.#send({ type: "slow" });
    this.#cancelSlow = this.#platform.timer(SLOW_MS, () => this.#sendSlow());
  }

  ready({ delivery, delivery_mode: mode, isDirected = false, limits }: Welcome): void {
    this.#isReady = true;
    this.#isDirected = isDirected;
    this.#takers = [];
    this.#fresh.clear();
    this.isAtLeastOnce = mode === "at-least-once";
    const resumed = delivery?.resumed === true;
    this.acks.ready(resumed, limits.max_frame_bytes, delivery?.ack_timeout_ms ?? 0);
    // A session continues what was in effect, but neither replays nor durables.
    const asked = [...this.#feeds].filter(
      ({ stage, request }) => !resumed || stage !== "live" || request.durable !== undefined,
    );
    for (const feed of asked) {
      // The session may continue a replay that had ended, which this client doesn't know.
      if (resumed) this.#leave(feed);
      // The messages that the feed holds back come again.
      this.#settle(feed, feed.restart(), false);
    }
    this.#ask(asked);
  }

  down(): void {
    this.#isReady = false;
    this.#leaving.clear();
    this.acks.down();
    for (const feed of this.#feeds) feed.cancelRetry();
  }

  /** Ends all subscriptions. */
  close(error: SpillwayError): void {
    for (const feed of this.#feeds) this.#fail(feed, error);
  }

  /** @returns whether the frame was for subscriptions. */
  take(frame: IncomingFrame): boolean {
    const feed = this.#find(
      "sub" in frame ? frame.sub : frame.type === "error" ? frame.id : undefined,
    );
    if (feed === undefined) this.#fresh.clear();
    switch (frame.type) {
      case "data":
        this.#data(frame);
        break;
      case "end":
        this.#end(frame);
        break;
      case "gap":
        this.#gap(frame);
        break;
      case "subscribed":
        if (feed === undefined) {
          // A session may continue one that has ended here, or began again under another name.
          if (!this.#leaving.has(frame.sub)) {
            const { subjects } = frame;
            const unknown = new Feed({ subjects, after: undefined, buffer: 0 }, NOBODY);
            unknown.sub = frame.sub;
            this.#leave(unknown);
            this.#ask([], [unknown]);
          }
          break;
        }
        // Its subject may have ended before.
        if (this.#isDirected) this.#took(feed.sub, [feed]);
        this.#settle(feed, feed.confirm(frame));
        break;
      case "caught_up":
        if (feed !== undefined) this.#settle(feed, feed.caughtUp());
        break;
      case "unsubscribed":
        this.#leaving.delete(frame.sub);
        if (feed !== undefined) {
          const why = `The gateway has ended the subscription: ${frame.reason}`;
          this.#fail(feed, new SpillwayError(frame.reason ?? "forbidden", why));
        }
        break;
      case "error":
        if (feed === undefined) {
          // The gateway doesn't have it, or no more.
          this.#leaving.delete(frame.id ?? "");
          return false;
        }
        // It answers an `unsubscribe` of a name that is in use again; the subscription itself is asked for.
        if (frame.error.code !== "unknown_subscription")
          this.#refused(feed, frame.error, frame.retry_after_ms);
        break;
      default:
        return false;
    }
    return true;
  }

  /** Notes which subscriptions an `end` is for that follows. */
  #took(sub: string | undefined, feeds: readonly Feed[]): void {
    const others = this.#takers.filter((feed) => (sub ?? feed.sub) !== feed.sub);
    this.#takers = [...others, ...feeds];
  }

  #data(frame: Directed<DataFrame>): void {
    const { acks } = this;
    const { id, subject, sub } = frame;
    const isRepeated = frame.redelivery !== undefined;
    const position = positionOf(id);
    const wanting = this.#open.filter(
      (feed) => (sub ?? feed.sub) === feed.sub && feed.wants(subject),
    );
    const isLoose = wanting.length > 1 && wanting.some(({ maxRate }) => maxRate !== undefined);
    const takers = wanting.filter(
      (feed) =>
        !acks.isPending(id, feed) &&
        !(isRepeated && acks.isSettled(id)) &&
        !feed.has(id, position, isLoose),
    );
    // A subscription that is asked for again may have got it from others meanwhile.
    const isLeft = [...this.#leaving.values()].some((feed) => feed.wants(subject));
    const bringers = wanting.filter(({ seen }) => !seen.has(position, true));
    const refusers = isRepeated ? acks.takeRefused(id) : [];
    const mayBeAhead = (feed: Feed): boolean =>
      feed.stage !== "live" &&
      (isRepeated || isLeft || feed.stage === "asked" || bringers.some((one) => one !== feed));
    this.#took(sub, takers);
    if (this.isAtLeastOnce) {
      // Messages that are held back wait for the replay, which may wait for acknowledgements: so these are acknowledged now.
      const open = takers.filter((feed) => feed.isFull || !(mayBeAhead(feed) || feed.holdsLatest));
      acks.handOver(id, [...open, ...refusers]);
    }
    for (const feed of takers) {
      if (mayBeAhead(feed)) feed.hold(frame, position, !this.isAtLeastOnce);
      else feed.take(frame, position);
    }
    for (const feed of refusers) feed.sink.data(frame);
  }

  #end(frame: Directed<EndFrame>): void {
    for (const feed of this.#takers) if ((frame.sub ?? feed.sub) === feed.sub) feed.end(frame);
  }

  /** If a gap names no subscription, all are told that may miss something. */
  #gap(frame: Directed<GapFrame>): void {
    // The gateway doesn't send a subscription that is asked for what others have lost, but tells each of a new stream.
    const concerned = this.#open.filter(
      (feed) =>
        (frame.sub ?? feed.sub) === feed.sub &&
        (feed.stage !== "asked" || (frame.reason !== "stream_reset" && wantsOlder(feed))),
    );
    for (const feed of concerned) {
      if (frame.count > 0 && feed.seen.has(positionOf(frame.to))) continue;
      feed.gap(frame);
      const { from, stage, isResuming } = feed;
      if (
        frame.reason === "expired" &&
        isResuming &&
        from === "last_per_subject" &&
        stage === "behind"
      ) {
        // The cursor can't bring all that has changed, so that the latest of each subject is taken again.
        feed.cursor = undefined;
        this.#leave(feed);
        this.#ask([feed]);
      }
    }
  }

  #refused(feed: Feed, reported: Parameters<typeof gatewayError>[0], leastMs = 0): void {
    const error = gatewayError(reported, "The gateway refuses the subscription: ");
    if (!error.retryable) {
      this.#fail(feed, error);
      return;
    }
    const { random, timer } = this.#platform;
    const pauseMs = Math.max(leastMs, 1000 + random() * 500 * 2 ** Math.min(6, feed.failures++));
    feed.sub = undefined;
    feed.cancelRetry = timer(pauseMs, () => this.#ask([feed]));
  }

  #fail(feed: Feed, error: SpillwayError): void {
    // The gateway has none to end.
    feed.sub = undefined;
    this.remove(feed);
    feed.sink.failed(error);
  }

  /** A subscription gives its loop none of these. @param isDone whether they may be acknowledged. */
  #settle(feed: Feed, ids: readonly string[], isDone = true): void {
    for (const id of ids) this.acks[isDone ? "settle" : "forget"](id, feed);
  }

  /**
   * Asks for subscriptions, and again for others that overlap: the gateway sends no subscription what another one brought,
   * unless they begin anew.
   *
   * @param around those that others may overlap.
   */
  #ask(feeds: readonly Feed[], around = feeds): void {
    const past = around.filter(wantsOlder);
    const others = this.#open.filter(
      (other) =>
        !this.#isDirected &&
        !this.#fresh.has(other) &&
        wantsOlder(other) &&
        other.request.subjects.some((pattern) => past.some((one) => one.wants(pattern))),
    );
    for (const other of others) this.#leave(other);
    // A program may call a message "1": its error would be for the subscription of that name.
    for (const feed of [...others, ...feeds]) {
      this.#fresh.add(feed);
      this.#send(feed.ask(this.#platform.uuid()));
    }
  }

  #leave(feed: Feed): void {
    if (feed.sub !== undefined && this.#isReady) {
      this.acks.flush();
      this.#send({ type: "unsubscribe", sub: feed.sub });
      if (!this.#isDirected) this.#leaving.set(feed.sub, feed);
    }
    feed.sub = undefined;
  }

  /** The subscriptions that this connection has asked for. */
  get #open(): readonly Feed[] {
    return [...this.#feeds].filter(({ sub }) => sub !== undefined);
  }

  #find(name: string | undefined): Feed | undefined {
    return this.#open.find(({ sub }) => sub === name);
  }

  #isInOrder(): boolean {
    return [...this.#feeds].every(
      ({ stage, maxRate, request }) =>
        stage === "live" && maxRate === undefined && request.durable === undefined,
    );
  }
}
