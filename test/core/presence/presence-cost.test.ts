import { describe, expect, test } from "bun:test";
import type { TestClient } from "../support/harness.ts";
import { Gateways, lastPresence, watch } from "./gateways.ts";

/** Patterns with a wildcard at most places: each matches some subject that each other one matches, too. */
const wide = (many: number, last: string): string[] =>
  Array.from({ length: many }, (_, n) => {
    const tokens = [...n.toString(2).padStart(8, "0")].map((bit) => (bit === "1" ? "x" : "*"));
    return ["r", ...tokens, last].join(".");
  });

const VIEWS = 200;
/** Patterns of a client that are on no view, which takes the most comparisons, and one that is on all of them. */
const BESIDE = wide(62, "q");
const ON_ALL = wide(1, "*");
const STEPS = 64;

/** A gateway with a viewer that watches many wide patterns, and hears of the connections of another gateway. */
class Crowd {
  readonly gateways = new Gateways({
    stepsPerTurn: STEPS,
    maxPresenceWatches: 1000,
    maxFramesPerSecond: 1_000_000,
    highWaterBytes: 10_000_000,
  });
  readonly #gateway = this.gateways.open();
  readonly #viewer: TestClient;

  constructor() {
    this.gateways.pass();
    this.#viewer = this.#gateway.join({ sub: "viewer" });
    for (const [n, subject] of [...wide(VIEWS, "z"), "room.1", "end"].entries()) {
      watch(this.#viewer, subject, "count", `${n}`);
    }
    this.gateways.pass();
  }

  /** The other gateway has written an entry. */
  says(id: number, sub: string, subjects: readonly string[]): void {
    const data = new TextEncoder().encode(JSON.stringify({ iss: "i", sub, subjects }));
    this.#gateway.harness.clients.presence!.changed(`x.${id}`, data, 0);
  }

  /** Lets turns of the event loop pass until somebody is on a subject. @returns how many. */
  turnsUntil(subject: string): number {
    for (let turns = 0; turns < 10_000; turns++) {
      watch(this.#viewer, subject, "count", "probe");
      if (lastPresence(this.#viewer)?.count === 1) return turns;
      this.gateways.clock.turn();
    }
    throw new Error(`nobody is on ${subject}`);
  }
}

describe("A change of what a client is subscribed to", () => {
  test("costs what it touches, however much else the client is on", () => {
    const crowd = new Crowd();
    crowd.says(1, "ann", [...BESIDE, ...ON_ALL]);
    crowd.gateways.pass();
    crowd.says(1, "ann", [...BESIDE, ...ON_ALL, "end"]);
    expect(crowd.turnsUntil("end")).toBeLessThanOrEqual(1);
  });

  test("that touches much is worked out in many turns, and keeps no other user from their turn", () => {
    const crowd = new Crowd();
    for (let id = 0; id < 10; id++) crowd.says(id, "hog", [...BESIDE, ...ON_ALL]);
    crowd.says(10, "hog", ["end"]);
    crowd.says(11, "ann", ["room.1"]);
    expect(crowd.turnsUntil("room.1")).toBeLessThanOrEqual(3);
    const steps = STEPS * crowd.turnsUntil("end");
    // Each of ten connections is looked at in each view.
    expect(steps).toBeGreaterThan(10 * VIEWS);
  });

  test("is one with those that the client makes until its turn comes", () => {
    const turns = [2, 200].map((changes) => {
      const crowd = new Crowd();
      for (let n = 0; n < changes; n++) {
        crowd.says(1, "hog", n % 2 === 0 ? BESIDE : [...BESIDE, ...ON_ALL]);
      }
      crowd.says(2, "hog", ["end"]);
      return crowd.turnsUntil("end");
    });
    expect(turns[1]).toBeLessThanOrEqual(2 * (turns[0] as number));
  });
});

describe("Very many clients that watch a subject", () => {
  const MANY = 500;

  function crowd() {
    const gateways = new Gateways({ stepsPerTurn: STEPS });
    const gateway = gateways.open();
    gateways.pass();
    const viewers = Array.from({ length: MANY }, (_, n) => gateway.join({ sub: `${n}` }));
    for (const [n, viewer] of viewers.entries()) {
      watch(viewer, "room.1", n % 2 === 0 ? "list" : "count");
    }
    gateways.pass();
    const says = (subjects: readonly string[]): void => {
      const data = new TextEncoder().encode(JSON.stringify({ iss: "i", sub: "ann", subjects }));
      gateway.harness.clients.presence!.changed("x.1", data, 0);
    };
    /** Lets turns pass until nobody is told anything more. @returns how many were told something in each turn. */
    const turns = (): number[] => {
      const told: number[] = [];
      for (let before = toldOf(viewers); told.length < 1000; before = toldOf(viewers)) {
        gateways.clock.turn();
        told.push(toldOf(viewers) - before);
        if (told.at(-1) === 0 && told.some((number) => number > 0)) break;
      }
      return told;
    };
    return { gateways, viewers, says, turns };
  }

  function toldOf(viewers: readonly TestClient[]): number {
    return viewers.reduce((sum, { socket }) => sum + socket.textFrames.length, 0);
  }

  test("are told a change in many turns, with as few frames as there are different ones", () => {
    const { gateways, viewers, says, turns } = crowd();
    says(["room.1"]);
    gateways.clock.pause(1000);
    const told = turns();
    expect(Math.max(...told)).toBeLessThanOrEqual(STEPS / 8);
    expect(told.reduce((sum, number) => sum + number)).toBe(MANY);
    expect(new Set(viewers.map(({ socket }) => socket.textFrames.at(-1))).size).toBe(2);
    expect(lastPresence(viewers[0]!)).toMatchObject({ count: 1, joined: [{ sub: "ann" }] });
    expect(lastPresence(viewers[1]!)).toMatchObject({ count: 1 });
  });

  test("are told the same state, whatever changes while they are told it", () => {
    const { gateways, viewers, says, turns } = crowd();
    says(["room.1"]);
    gateways.clock.pause(1000);
    gateways.clock.turn();
    gateways.clock.turn();
    says(["room.2"]);
    turns();
    for (const viewer of viewers) expect(lastPresence(viewer)?.count).toBe(1);
    gateways.pass(20_000);
    for (const viewer of viewers) expect(lastPresence(viewer)?.count).toBe(0);
    expect(lastPresence(viewers[0]!)?.left).toEqual([{ sub: "ann" }]);
  });
});
