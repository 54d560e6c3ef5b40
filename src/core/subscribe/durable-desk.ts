import type { DeliveryMode, Policy } from "../../protocol/fields.ts";
import { Durable, type DurableParts } from "../acks/durable.ts";
import type { FollowedStream, StreamRegistry } from "../history/stream-registry.ts";
import type { Durables, StartPoint } from "../ports/source.ts";
import type { Session } from "../sessions/session.ts";
import { exposedOf, exposesSome } from "../subject/subject.ts";
import type { SubscriptionRequest } from "../wire/subscription-request.ts";
import type { Refusal } from "./refusal.ts";

export interface DurableDeskOptions {
  readonly deliveryMode: DeliveryMode;
  readonly startFrom: StartPoint;
  readonly policy: Policy;
  /** What of the exposed subjects no stream keeps. */
  readonly demanded: readonly string[];
}

interface DurableDeskParts extends DurableParts {
  readonly book: StreamRegistry;
  /** `undefined` where nothing keeps them. */
  readonly durables: Durables | undefined;
}

/** Gives clients the durables that they ask for by name. */
export class DurableDesk {
  readonly #options: DurableDeskOptions;
  readonly #parts: DurableDeskParts;

  constructor(options: DurableDeskOptions, parts: DurableDeskParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** How many are used here now. */
  get used(): number {
    return this.#parts.durables?.used ?? 0;
  }

  /** Why a request for a durable can't be served, whoever asks; `undefined` where it can, or is for none. */
  faultOf(request: SubscriptionRequest): string | undefined {
    const { durable, subjects, policy, maxRate, after } = request;
    if (durable === undefined) return undefined;
    if (this.#options.deliveryMode !== "at-least-once") {
      return "a durable is of at-least-once; this endpoint is at-most-once";
    }
    if (policy !== undefined || maxRate !== undefined || after !== undefined) {
      return "a durable goes on behind what was acknowledged, and leaves nothing out: no policy, rate or cursor";
    }
    const { length } = this.#parts.book.touchedBy(subjects);
    if (this.#parts.durables === undefined || length !== 1) {
      return `a durable is of one stream, and these subjects are of ${length}`;
    }
    if (!exposesSome(this.#options.demanded, subjects)) return undefined;
    return "a durable is of one stream, and no stream keeps some of these subjects";
  }

  /** Begins to use one for a client; the answer comes when it is there. */
  use(client: Session, request: SubscriptionRequest): Refusal | undefined {
    const message = this.faultOf(request);
    if (message !== undefined) return { code: "unsupported", message };
    const { startFrom, policy } = this.#options;
    const { id, subjects: asked, start = startFrom } = request;
    const name = request.durable as string;
    const [stream] = this.#parts.book.touchedBy(asked) as [FollowedStream];
    const subjects = exposedOf(stream.subjects, asked);
    const durable = new Durable({ id, name, subjects, policy }, client, this.#parts);
    client.durables = [...client.durables, durable];
    const query = { name, stream: stream.name, subjects, start };
    durable.begin((this.#parts.durables as Durables).use(query, durable));
    return undefined;
  }

  /** Ends a client's use of one, which stays. @returns whether it had it. */
  leave(client: Session, id: string): boolean {
    const durable = client.durables.find(({ title }) => title.id === id);
    if (durable === undefined) return false;
    client.durables = client.durables.filter((other) => other !== durable);
    durable.release();
    client.tell({ type: "unsubscribed", sub: id });
    return true;
  }
}
