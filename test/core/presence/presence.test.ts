import { describe, expect, test } from "bun:test";
import { AuthHarness, grantOf } from "../support/auth-harness.ts";
import { lastOf, type TestClient, typesOf } from "../support/harness.ts";
import { Gateways, lastPresence, presenceOf, subscribe, watch } from "./gateways.ts";

const HEAD = { type: "presence", id: "w", subject: "room.1" };

/** One gateway with a thousand clients that are on every subject. */
function crowd() {
  const gateways = new Gateways({
    maxClients: 2000,
    maxPresenceWatches: 2000,
    maxFramesPerSecond: 100_000,
    highWaterBytes: 10_000_000,
  });
  const gateway = gateways.open();
  gateways.pass();
  for (let n = 0; n < 1000; n++) subscribe(gateway.join(), ">");
  return { gateways, gateway };
}

function twoGateways(options = {}) {
  const gateways = new Gateways(options);
  const [one, two] = [gateways.open(), gateways.open()];
  gateways.pass();
  const viewer = one.join({ sub: "viewer" });
  return { gateways, one, two, viewer };
}

describe("A watch", () => {
  test("is told who is there, and then who joins and leaves, on any gateway", () => {
    const { gateways, two, viewer } = twoGateways();
    const ann = two.join({ sub: "ann" });
    subscribe(ann, "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    expect(presenceOf(viewer)).toEqual([{ ...HEAD, count: 1, members: [{ sub: "ann" }] }]);
    subscribe(two.join({ sub: "bob" }), "room.*");
    gateways.pass();
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 2, joined: [{ sub: "bob" }] });
    ann.connection.closed(1000);
    gateways.pass(9000);
    expect(presenceOf(viewer).length).toBe(2);
    gateways.pass(4000);
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 1, left: [{ sub: "ann" }] });
    expect(presenceOf(viewer).length).toBe(3);
  });

  test("that wants the count is told no names, and only when the count changes", () => {
    const { gateways, two, viewer } = twoGateways();
    viewer.send({ type: "presence", id: "w", subject: "room.1" });
    expect(presenceOf(viewer)).toEqual([{ ...HEAD, count: 0 }]);
    const ann = two.join({ sub: "ann" });
    subscribe(ann, "room.1");
    gateways.pass();
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 1 });
    subscribe(two.join({ sub: "ann" }), "room.1");
    gateways.pass();
    expect(presenceOf(viewer).length).toBe(2);
  });

  test("ends when the client says so, and then costs nothing", () => {
    const { gateways, two, viewer } = twoGateways();
    watch(viewer, "room.1");
    viewer.send({ type: "presence", id: "w", stop: true });
    expect(lastPresence(viewer)).toEqual({ type: "presence_ended", id: "w" });
    subscribe(two.join({ sub: "ann" }), "room.1");
    gateways.pass();
    expect(typesOf(viewer).at(-1)).toBe("presence_ended");
    viewer.send({ type: "presence", id: "w", stop: true });
    expect(lastOf(viewer)).toMatchObject({ id: "w", error: { code: "unknown_subscription" } });
  });

  test("of the same name takes the place of the earlier one", () => {
    const { gateways, two, viewer } = twoGateways();
    watch(viewer, "room.1", "count");
    watch(viewer, "room.2");
    subscribe(two.join({ sub: "ann" }), "room.1");
    subscribe(two.join({ sub: "bob" }), "room.2");
    gateways.pass();
    const last = { type: "presence", id: "w", subject: "room.2", count: 1 };
    expect(presenceOf(viewer).slice(2)).toEqual([{ ...last, joined: [{ sub: "bob" }] }]);
  });

  test("of too many is refused", () => {
    const { viewer } = twoGateways({ maxPresenceWatches: 2 });
    for (const id of ["1", "2", "3"]) watch(viewer, `room.${id}`, "list", id);
    expect(lastOf(viewer)).toMatchObject({ id: "3", error: { code: "too_many_subscriptions" } });
    watch(viewer, "room.9", "list", "2");
    expect(lastPresence(viewer)).toMatchObject({ id: "2", subject: "room.9" });
  });

  test("has at most one frame in an interval, and none where all is as before", () => {
    const { gateways, two, viewer } = twoGateways();
    watch(viewer, "room.1");
    for (let n = 0; n < 40; n++) {
      subscribe(two.join({ sub: `u${n}` }), "room.1");
      gateways.pass(100);
    }
    const frames = presenceOf(viewer);
    expect(frames.length).toBeGreaterThan(3);
    expect(frames.length).toBeLessThanOrEqual(6);
    const joined = frames.flatMap((frame) => (frame.joined ?? []) as object[]);
    gateways.pass();
    expect(lastPresence(viewer)?.count).toBe(40);
    expect(joined.length).toBeGreaterThanOrEqual(30);
  });

  test("of very many lists the first hundred, and says that these aren't all", () => {
    const { gateways, two, viewer } = twoGateways();
    for (let n = 0; n < 150; n++) subscribe(two.join({ sub: `u${n}` }), "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    const { members, ...others } = lastPresence(viewer)!;
    expect(others).toEqual({ ...HEAD, count: 150, truncated: true });
    expect((members as object[]).length).toBe(100);
  });

  test("gives back its places when it ends", () => {
    const { gateways, gateway } = crowd();
    const viewer = gateway.join({ sub: "viewer" });
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 150; n++) watch(viewer, `${round}.${n}`, "count", `${n}`);
      gateways.pass();
      expect(lastPresence(viewer)?.count).toBe(1000);
      for (let n = 0; n < 150; n++) viewer.send({ type: "presence", id: `${n}`, stop: true });
    }
    const ended = presenceOf(viewer).filter(({ type }) => type === "presence_ended");
    expect(ended.filter(({ reason }) => reason !== undefined)).toEqual([]);
  });

  test("ends when its user takes more than a share of the people in all watches", () => {
    const { gateways, gateway } = crowd();
    gateways.pass();
    const hogs = [gateway.join({ sub: "hog" }), gateway.join({ sub: "hog" })];
    for (let n = 0; n < 220; n++) watch(hogs[n % 2]!, `room.${n}`, "count", `${n}`);
    gateways.pass();
    const ended = hogs.flatMap(presenceOf).filter(({ type }) => type === "presence_ended");
    const last = Array.from({ length: 21 }, (_, n) => `${199 + n}`);
    expect(ended.map(({ id }) => id as string).sort()).toEqual(last);
    expect(ended.every(({ reason }) => reason === "overloaded")).toBe(true);
    const viewer = gateway.join({ sub: "viewer" });
    for (let n = 0; n < 100; n++) watch(viewer, `hall.${n}`, "count", `${n}`);
    gateways.pass();
    const counted = presenceOf(viewer);
    expect(counted.map(({ id, count }) => [id, count])).toEqual(
      Array.from({ length: 100 }, (_, n) => [`${n}`, 1000]),
    );
  });

  describe("on very many subjects", () => {
    /** Lets somebody watch the presence on many subjects, with one connection. @returns how many watches were begun. */
    function watchMany(client: TestClient, gateways: Gateways, many: number, of: string): number {
      for (let n = 0; n < many; n++) watch(client, `${of}.${n}`, "count", `${of}.${n}`);
      gateways.pass();
      return presenceOf(client).filter(({ id }) => `${id}`.startsWith(`${of}.`)).length;
    }

    function oneGateway() {
      const gateways = new Gateways({
        maxPresenceWatches: 100_000,
        maxFramesPerSecond: 10_000_000,
        highWaterBytes: 100_000_000,
      });
      const gateway = gateways.open();
      gateways.pass();
      return { gateways, gateway };
    }

    test("is refused when its user has more than a share of them", () => {
      const { gateways, gateway } = oneGateway();
      const hogs = [gateway.join({ sub: "hog" }), gateway.join({ sub: "hog" })] as const;
      expect(watchMany(hogs[0], gateways, 3000, "a")).toBe(3000);
      expect(watchMany(hogs[1], gateways, 3000, "b")).toBe(1000);
      const refused = hogs[1].socket.frames.filter(({ type }) => type === "error");
      expect(refused.length).toBe(2000);
      expect(refused[0]).toMatchObject({
        error: { code: "too_many_subscriptions", retryable: true },
      });
      expect(watchMany(gateway.join({ sub: "viewer" }), gateways, 3000, "c")).toBe(3000);
      // These are paid for by somebody else.
      expect(watchMany(hogs[1], gateways, 3000, "c")).toBe(3000);
    });

    test("is refused when its account has more than a share of them", () => {
      const { gateways, gateway } = oneGateway();
      let begun = 0;
      for (let n = 0; n < 9; n++) {
        const hog = gateway.join({ sub: `hog ${n}`, account: "acme" });
        begun += watchMany(hog, gateways, 4000, `${n}`);
      }
      expect(begun).toBe(15_000);
      expect(watchMany(gateway.join({ sub: "hog" }), gateways, 1000, "u")).toBe(1000);
    });

    test("goes over to others who watch the same, and ends where they have more than a share", () => {
      const { gateways, gateway } = oneGateway();
      const first = gateway.join({ sub: "first" });
      const second = gateway.join({ sub: "second" });
      watchMany(first, gateways, 3000, "a");
      watchMany(second, gateways, 3000, "b");
      watchMany(second, gateways, 3000, "a");
      first.connection.closed(1000);
      const ended = presenceOf(second).filter(({ type }) => type === "presence_ended");
      // Each one that ended leaves more for all.
      expect(ended[0]).toEqual({ type: "presence_ended", id: "a.500", reason: "overloaded" });
      const { watches } = gateway.harness.clients.presence!.figures;
      expect(watches).toBe(6000 - ended.length);
      expect(watches).toBeLessThan(4100);
      expect(watchMany(gateway.join({ sub: "first" }), gateways, 3000, "c")).toBe(3000);
    });

    test("stays with its user while another watch of that user is on it", () => {
      const { gateways, gateway } = oneGateway();
      const [payer, hog] = [gateway.join({ sub: "payer" }), gateway.join({ sub: "hog" })];
      watch(payer, "room.1", "count", "first");
      watchMany(hog, gateways, 4000, "a");
      watch(hog, "room.1");
      watch(payer, "room.1", "count", "second");
      payer.send({ type: "presence", id: "first", stop: true });
      expect(lastPresence(hog)).toEqual({ ...HEAD, count: 0, members: [] });
      payer.send({ type: "presence", id: "second", stop: true });
      expect(lastPresence(hog)).toMatchObject({ type: "presence_ended", reason: "overloaded" });
    });

    test("counts once when it ends, also if a client leaves as it hears of that", () => {
      const { gateways, gateway } = oneGateway();
      const payer = gateway.join({ sub: "payer" });
      const hogs = [gateway.join({ sub: "hog" }), gateway.join({ sub: "hog" })] as const;
      watch(payer, "room.1");
      expect(watchMany(hogs[0], gateways, 4000, "a")).toBe(4000);
      for (const id of ["1", "2"]) watch(hogs[1], "room.1", "list", id);
      hogs[1].socket.write = () => {
        hogs[1].connection.closed(1006);
        return "refused";
      };
      payer.connection.closed(1000);
      expect(hogs[1].connection.isOver).toBe(true);
      expect(gateway.harness.clients.presence!.figures.watches).toBe(4000);
      // One more would be allowed if the watch had been given back twice.
      expect(watchMany(hogs[0], gateways, 1, "b")).toBe(0);
    });
  });

  test("that begins before the others are told of somebody who leaves again ends up right", () => {
    const { gateways, two, viewer } = twoGateways({ presenceGraceMs: 0 });
    watch(viewer, "room.1");
    const [ann, bob] = [two.join({ sub: "ann" }), two.join({ sub: "bob" })];
    subscribe(ann, "room.1");
    gateways.pass();
    subscribe(bob, "room.1");
    gateways.pass(100);
    ann.connection.closed(1000);
    gateways.pass(100);
    watch(viewer, "room.1", "list", "late");
    expect(lastPresence(viewer)).toMatchObject({ id: "late", members: [{ sub: "bob" }] });
    bob.connection.closed(1000);
    subscribe(two.join({ sub: "ann" }), "room.1");
    gateways.pass();
    expect(
      presenceOf(viewer)
        .filter(({ id }) => id === "late")
        .at(-1),
    ).toMatchObject({
      count: 1,
      members: [{ sub: "ann" }],
    });
  });

  test("of a client that doesn't read is told everything when it reads again", () => {
    const { gateways, two, viewer } = twoGateways();
    watch(viewer, "room.1");
    viewer.socket.reads = false;
    viewer.socket.buffered = 2000;
    subscribe(two.join({ sub: "ann" }), "room.1");
    gateways.pass();
    expect(presenceOf(viewer).length).toBe(1);
    viewer.socket.reads = true;
    viewer.socket.buffered = 0;
    gateways.pass();
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 1, members: [{ sub: "ann" }] });
  });
});

describe("People", () => {
  test("with several connections are one, until the last of them has left", () => {
    const { gateways, one, two, viewer } = twoGateways();
    const tabs = [one.join({ sub: "ann" }), two.join({ sub: "ann" })];
    for (const tab of tabs) subscribe(tab, "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    expect(lastPresence(viewer)?.count).toBe(1);
    tabs[0]!.connection.closed(1000);
    gateways.pass(20_000);
    expect(presenceOf(viewer).length).toBe(1);
  });

  test("that reconnect in their time of grace never leave", () => {
    const { gateways, one, two, viewer } = twoGateways();
    let ann = two.join({ sub: "ann" });
    subscribe(ann, "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    for (const gateway of [one, two, one]) {
      ann.connection.closed(1006);
      gateways.pass(8000);
      ann = gateway.join({ sub: "ann" });
      subscribe(ann, "room.1");
      gateways.pass(15_000);
    }
    expect(presenceOf(viewer).length).toBe(1);
  });

  test("without a name count, each for itself, are in no list, and have no time of grace", () => {
    const { gateways, two, viewer } = twoGateways();
    watch(viewer, "room.1");
    const guests = [two.join(), two.join()];
    for (const guest of guests) subscribe(guest, "room.1");
    gateways.pass();
    expect(presenceOf(viewer).slice(1)).toEqual([{ ...HEAD, count: 2 }]);
    guests[0]!.connection.closed(1000);
    gateways.pass();
    expect(presenceOf(viewer).slice(2)).toEqual([{ ...HEAD, count: 1 }]);
  });

  test("leave a subject at once that they unsubscribe", () => {
    const { gateways, two, viewer } = twoGateways();
    const ann = two.join({ sub: "ann" });
    subscribe(ann, "room.1");
    subscribe(ann, "room.2");
    gateways.pass();
    watch(viewer, "room.1");
    ann.send({ type: "unsubscribe", sub: "room.1" });
    gateways.pass();
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 0, left: [{ sub: "ann" }] });
  });

  test("of the same name and another issuer are others, named with their issuer", () => {
    const { gateways, two, viewer } = twoGateways();
    for (const issuer of ["i", "j"]) subscribe(two.join({ sub: "ann", issuer }), "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    expect(lastPresence(viewer)).toMatchObject({
      count: 2,
      members: [{ sub: "ann" }, { sub: "ann", issuer: "j" }],
    });
  });

  test("aren't on a subject that is denied to them", () => {
    const { gateways, two, viewer } = twoGateways();
    subscribe(two.join({ sub: "ann", deny: ["room.1", "room.2.>"] }), "room.>");
    subscribe(two.join({ sub: "bob" }), ">");
    gateways.pass();
    for (const [subject, count] of [
      ["room.1", 1],
      ["room.2.x", 1],
      ["room.2", 2],
      ["room.*", 2],
    ] as const) {
      watch(viewer, subject, "count");
      expect([subject, lastPresence(viewer)?.count]).toEqual([subject, count]);
    }
  });
});

test("Clients of one account never learn of those of another", () => {
  const { gateways, one, two } = twoGateways();
  const viewers = ["acme", "umbrella", undefined].map((account) => {
    subscribe(two.join({ sub: `of ${account}`, account }), "room.1");
    const viewer = one.join({ sub: "viewer", account });
    watch(viewer, "room.1");
    watch(viewer, ">", "list", "all");
    return { viewer, name: `of ${account}` };
  });
  gateways.pass();
  for (const { viewer, name } of viewers) {
    const later = presenceOf(viewer).slice(2);
    const seen = { count: 1, joined: [{ sub: name }] };
    expect(later.filter(({ id }) => id === "w")).toEqual([{ ...HEAD, ...seen }]);
    expect(later.filter(({ id }) => id === "all")).toMatchObject([{ subject: ">", ...seen }]);
  }
});

describe("A gateway", () => {
  test("that is killed takes its people with it, after its time and theirs", () => {
    const { gateways, two, viewer } = twoGateways();
    subscribe(two.join({ sub: "ann" }), "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    two.kill();
    gateways.pass(29_000);
    expect(presenceOf(viewer).length).toBe(1);
    gateways.pass(13_000);
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 0, left: [{ sub: "ann" }] });
  });

  test("that stops deletes everything that it wrote", async () => {
    const { gateways, one, two, viewer } = twoGateways();
    const ann = two.join({ sub: "ann" });
    subscribe(ann, "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    ann.socket.onClose = () => ann.connection.closed(1001);
    await two.harness.clients.drain(0);
    expect(two.harness.clock.timers).toBeGreaterThan(0);
    gateways.pass(12_000);
    expect(lastPresence(viewer)).toMatchObject({ count: 0, left: [{ sub: "ann" }] });
    const [own] = gateways.bucket.keys.filter((key) => !key.includes("."));
    expect(gateways.bucket.keys.every((key) => key.startsWith(own!))).toBe(true);
    viewer.connection.closed(1000);
    await one.harness.clients.drain(0);
    expect(gateways.bucket.keys).toEqual([]);
    gateways.pass();
    expect(one.harness.clock.timers).toBe(0);
  });

  test("that starts later knows who is there, and not who was, whatever NATS' clock says", () => {
    for (const skewMs of [-3_600_000, 3_600_000]) {
      const { gateways, one, two, viewer } = twoGateways();
      gateways.bucket.skewMs = skewMs;
      gateways.pass(11_000);
      subscribe(two.join({ sub: "ann" }), "room.1");
      subscribe(viewer, "room.1");
      gateways.pass();
      two.kill();
      gateways.pass(50_000);
      const late = gateways.open();
      gateways.pass();
      const client = late.join({ sub: "late" });
      watch(client, "room.1");
      expect(one.isConnected).toBe(true);
      gateways.pass(11_000);
      expect(lastPresence(client)?.count).toBe(1);
    }
  });

  test("that is away from NATS says that it may be wrong, keeps all it knows, and is right afterwards", () => {
    const { gateways, one, two, viewer } = twoGateways();
    const [ann, bob] = [two.join({ sub: "ann" }), two.join({ sub: "bob" })];
    for (const client of [ann, bob]) subscribe(client, "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    for (const gateway of [one, two]) gateway.disconnect();
    gateways.pass();
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 2, stale: true });
    ann.connection.closed(1000);
    subscribe(two.join({ sub: "eve" }), "room.1");
    gateways.pass(300_000);
    expect(presenceOf(viewer).length).toBe(2);
    one.connect();
    gateways.pass(1000);
    expect(presenceOf(viewer).length).toBeGreaterThan(2);
    two.connect();
    gateways.pass(30_000);
    const last = presenceOf(viewer).slice(2);
    expect(last.every((frame) => !("stale" in frame))).toBe(true);
    expect(last.flatMap((frame) => frame.joined ?? [])).toEqual([{ sub: "eve" }]);
    expect(last.flatMap((frame) => frame.left ?? [])).toEqual([{ sub: "ann" }]);
    expect(lastPresence(viewer)?.count).toBe(2);
  });

  test("takes no sign of life from before it lost the bucket for proof that it reads everything", () => {
    const { gateways, one } = twoGateways();
    const presence = one.harness.clients.presence!;
    const [key] = gateways.bucket.keys as [string];
    one.disconnect();
    one.writes = "lost";
    one.connect();
    presence.changed(key, new TextEncoder().encode("1"), gateways.clock.wallMs());
    expect(presence.figures.isStale).toBe(true);
    one.writes = "stored";
    gateways.pass();
    expect(presence.figures.isStale).toBe(false);
  });

  test("writes everything again when the bucket has lost it", () => {
    const { gateways, one, two, viewer } = twoGateways();
    subscribe(two.join({ sub: "ann" }), "room.1");
    gateways.pass();
    for (const gateway of [one, two]) gateway.disconnect();
    gateways.bucket.clear();
    for (const gateway of [one, two]) gateway.connect();
    gateways.pass();
    watch(viewer, "room.1");
    expect(lastPresence(viewer)).toMatchObject({ count: 1 });
    expect(gateways.bucket.keys.length).toBe(3);
  });

  test("says that it may be wrong while its bucket loses entries too soon, and writes again what that may have lost", () => {
    const { gateways, one, two, viewer } = twoGateways();
    subscribe(two.join({ sub: "ann" }), "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    const checked = (isLongEnough: boolean): void => {
      for (const gateway of [one, two]) {
        gateway.harness.clients.presence?.lifeChecked(isLongEnough);
      }
      gateways.pass();
    };
    checked(false);
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 1, stale: true });
    expect(one.harness.clients.presence?.figures.isStale).toBe(true);
    gateways.bucket.clear();
    checked(false);
    const entries = () => gateways.bucket.keys.filter((key) => key.includes("."));
    expect(entries()).toEqual([]);
    checked(true);
    expect(entries().length).toBe(1);
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 1 });
  });

  test("writes again what got lost, and notices when all gets lost", () => {
    const { gateways, one, two, viewer } = twoGateways();
    watch(viewer, "room.1");
    two.writes = "lost";
    const ann = two.join({ sub: "ann" });
    subscribe(ann, "room.1");
    gateways.pass(500);
    two.writes = "stored";
    gateways.pass(25_000);
    expect(lastPresence(viewer)?.count).toBe(1);
    two.writes = "lost";
    ann.send({ type: "unsubscribe", sub: "room.1" });
    gateways.pass(500);
    two.writes = "stored";
    gateways.pass(25_000);
    expect(lastPresence(viewer)?.count).toBe(0);
    one.writes = "lost";
    gateways.pass(25_000);
    expect(lastPresence(viewer)?.stale).toBe(true);
    one.writes = "stored";
    gateways.pass();
    expect(lastPresence(viewer)?.stale).toBeUndefined();
  });

  test("that stood still for long holds nobody to be gone before it has read on", () => {
    const { gateways, two, viewer } = twoGateways();
    subscribe(two.join({ sub: "ann" }), "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    gateways.clock.pause(100_000);
    gateways.pass(60_000);
    expect(presenceOf(viewer).length).toBe(1);
  });

  test("keeps the entries of clients that stay for very long, and writes each of them rarely", () => {
    const { gateways, two, viewer } = twoGateways();
    subscribe(two.join({ sub: "ann" }), "room.1");
    watch(viewer, "room.1");
    gateways.pass(3_600_000);
    expect(lastPresence(viewer)).toEqual({ ...HEAD, count: 1, joined: [{ sub: "ann" }] });
    const { writes } = two.harness.clients.presence!.figures;
    expect(writes).toBeGreaterThan(20);
    expect(writes).toBeLessThan(50);
  });

  test("counts no more connections than it may", () => {
    const { gateways, two, viewer } = twoGateways({ maxPresenceEntries: 3 });
    for (let n = 0; n < 5; n++) subscribe(two.join({ sub: `u${n}` }), "room.1");
    gateways.pass();
    watch(viewer, "room.1");
    expect(lastPresence(viewer)?.count).toBe(3);
    const { connections, omitted } = two.harness.clients.presence!.figures;
    expect([connections, omitted]).toEqual([3, 2]);
  });

  test("is not disturbed by what no gateway wrote", () => {
    const { gateways, one, two, viewer } = twoGateways();
    watch(viewer, "room.1");
    for (const value of ["", "{", "[]", '{"sub":1}', '{"subjects":[]}', '{"subjects":["a b"]}']) {
      gateways.bucket.write("x.1", value);
    }
    gateways.bucket.write("x.1.2", '{"subjects":["room.1"]}');
    gateways.bucket.write("x.2", '{"subjects":["room.1"],"sub":"ann","iss":"i"}');
    subscribe(two.join({ sub: "bob" }), "room.1");
    gateways.pass();
    expect(lastPresence(viewer)?.count).toBe(2);
    expect(one.harness.warnings.length).toBe(1);
  });
});

describe("The grant", () => {
  test("says of which subjects a client may see who is on them", () => {
    const { one } = twoGateways();
    const viewer = one.join({
      presence: { allow: ["room.*", "hall.>"], deny: ["room.secret", "hall.*.x"] },
    });
    const answer = (subject: string): unknown => {
      watch(viewer, subject);
      return lastOf(viewer)?.type === "error" ? lastOf(viewer)?.error : lastOf(viewer)?.type;
    };
    for (const subject of ["room.1", "hall.a", "hall.a.y"]) {
      expect(answer(subject)).toBe("presence");
    }
    for (const subject of [
      "room.secret",
      "room.*",
      "room.>",
      "hall.>",
      ">",
      "street",
      "hall.a.x",
    ]) {
      expect(answer(subject)).toMatchObject({ code: "forbidden", retryable: false });
    }
    watch(one.join({ presence: { allow: [], deny: [] } }), "room.1");
  });

  test("ends watches that a new one doesn't allow", async () => {
    const gateways = new Gateways();
    const gateway = gateways.open();
    const gate = new AuthHarness();
    gateways.pass();
    const viewer = gateway.harness.joinWith(
      undefined,
      gateway.join().connection.dialect,
      false,
      undefined,
      grantOf({ presence: { allow: [">"], deny: [] } }),
      (token) => gate.check(token),
    );
    watch(viewer, "room.1", "list", "1");
    watch(viewer, "hall.1", "list", "2");
    await gate.auth(viewer, grantOf({ presence: { allow: ["hall.>"], deny: [] } }));
    expect(presenceOf(viewer).slice(2)).toEqual([
      { type: "presence_ended", id: "1", reason: "forbidden" },
    ]);
  });
});

describe("Without a bucket", () => {
  test("presence is refused, and nothing is made for it", () => {
    const gateways = new Gateways();
    const harness = new AuthHarness().harness;
    const client = harness.joinWith(undefined, gateways.open().join().connection.dialect, false);
    watch(client, "room.1");
    expect(lastOf(client)).toMatchObject({ id: "w", error: { code: "unsupported" } });
    expect(harness.clients.presence).toBeUndefined();
  });
});
