/** The place that the `id` of a message names. */
export interface Position {
  /** Everything before the number: the stream with its epoch, or the gateway's run. */
  readonly origin: string;
  readonly number: number;
  /** A client that resumes there goes back by so many, as messages before this one still wait (`-<n>`). */
  readonly back: number;
}

/** Reads an `id`; one of an unknown form is an origin of its own. */
export function positionOf(id: string): Position {
  const [, origin = id, number = 0, back = 0] = /^(.*):(\d+)(?:\.\d+)?(?:-(\d+))?$/.exec(id) ?? [];
  return { origin, number: Number(number), back: Number(back) };
}

/** The messages of one origin that a subscription has. */
interface Reached {
  /** All up to this number. */
  floor: number;
  /** Some above it, which came before others that still wait. */
  readonly above: Set<number>;
  /** All up to this number were there when the subscription began, or began again. */
  frozen: number;
}

/** Knows which messages a subscription has, so that a replay gives it none of them again. */
export class Seen {
  readonly #of = new Map<string, Reached>();

  /** The subscription begins after a position: earlier messages are not for it. */
  begin(position: Position): void {
    this.add(position);
    const reached = this.#reached(position.origin);
    reached.frozen = reached.floor;
  }

  /** The subscription begins again. */
  freeze(): void {
    for (const reached of this.#of.values()) reached.frozen = reached.floor;
  }

  /**
   * Whether the subscription has a message.
   *
   * @param loose whether messages may come in another order, as a rate of another subscription holds some back.
   */
  has({ origin, number }: Position, loose = false): boolean {
    const reached = this.#of.get(origin);
    if (reached === undefined) return false;
    return number <= (loose ? reached.frozen : reached.floor) || reached.above.has(number);
  }

  add({ origin, number, back }: Position): void {
    const reached = this.#reached(origin);
    const { above } = reached;
    reached.floor = Math.max(reached.floor, number - back);
    if (back > 0) above.add(number);
    for (const one of above) {
      if (one > reached.floor) break;
      above.delete(one);
    }
  }

  #reached(origin: string): Reached {
    let reached = this.#of.get(origin);
    if (reached === undefined) {
      reached = { floor: -1, above: new Set(), frozen: -1 };
      this.#of.set(origin, reached);
    }
    return reached;
  }
}
