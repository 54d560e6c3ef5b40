import { describe, expect, test } from "bun:test";
import { ANONYMOUS, type Grant } from "../../../src/core/access/grant.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { AuthHarness, grantOf } from "../support/auth-harness.ts";
import { FakeSocket } from "../support/fake-sockets.ts";

const ANN = { issuer: "i", sub: "ann" };

function connect({ harness, check }: AuthHarness, grant: Grant, addressGroup: string) {
  const socket = new FakeSocket(harness.fanout);
  const client = { grant, dialect: V1, addressGroup, checkToken: check };
  const connection = harness.clients.accept(socket, client);
  socket.onClose = () => connection.closed(1005);
  return { socket, connection };
}

describe("A limit of clients per address", () => {
  test("counts the open connections of an address", () => {
    const auth = new AuthHarness({ maxClientsPerAddress: 2 });
    const { clients, meter } = auth.harness;
    const [first] = [1, 2].map(() => connect(auth, grantOf(), "a"));
    expect(clients.excessOf("a", ANN)).toBe("address");
    expect(clients.excessOf("b", ANN)).toBeUndefined();
    first?.connection.closed(1006);
    expect(clients.excessOf("a", ANN)).toBeUndefined();
    connect(auth, grantOf(), "a");
    // All handshakes at the same time may have found room.
    expect(connect(auth, grantOf(), "a").socket.closedWith).toBe(4429);
    expect(meter.clientsLimited).toEqual({ address: 1, sub: 0, rate: 0 });
    expect(meter.clientsActive).toBe(2);
  });
});

describe("A limit of clients per user", () => {
  test("counts the open connections of a principal, at any address", () => {
    const auth = new AuthHarness({ maxClientsPerSub: 1 });
    const { clients } = auth.harness;
    const { connection } = connect(auth, grantOf(), "a");
    expect(clients.excessOf("b", ANN)).toBe("sub");
    expect(clients.excessOf("b", { issuer: "other", sub: "ann" })).toBeUndefined();
    expect(connect(auth, grantOf(), "b").socket.closedWith).toBe(4429);
    expect(connect(auth, grantOf({ sub: "bob" }), "b").socket.closedWith).toBeUndefined();
    connection.closed(1000);
    expect(connect(auth, grantOf(), "b").socket.closedWith).toBeUndefined();
  });

  test("counts a client from when it has shown its token", async () => {
    const auth = new AuthHarness({ maxClientsPerSub: 1 });
    const waiting = [1, 2, 3].map(() => auth.join());
    const ann = grantOf();
    for (const peer of waiting) await auth.auth(peer, ann);
    expect(waiting.map(({ socket }) => socket.closedWith)).toEqual([undefined, 4429, 4429]);
    // To show a token again is no other client.
    await auth.auth(waiting[0]!, grantOf({ allow: ["a"] }));
    expect(waiting[0]?.socket.closedWith).toBeUndefined();
    expect(auth.harness.clients.excessOf("x", ANN)).toBe("sub");
    waiting[0]?.connection.closed(1000);
    expect(auth.harness.clients.excessOf("x", ANN)).toBeUndefined();
  });

  test("doesn't count anonymous clients", () => {
    const auth = new AuthHarness({ maxClientsPerSub: 1 });
    const peers = [1, 2, 3].map(() => auth.harness.join());
    expect(peers.map(({ socket }) => socket.closedWith)).toEqual([undefined, undefined, undefined]);
  });
});

describe("Clients that connect without a token", () => {
  const fill = (auth: AuthHarness, address: string) => {
    const { clients } = auth.harness;
    const peers: ReturnType<typeof connect>[] = [];
    while (clients.excessOf(address, ANONYMOUS, true) === undefined) {
      peers.push(connect(auth, auth.awaiting, address));
    }
    return peers;
  };

  test("of one address leave places to those of others, and to clients with a token", () => {
    const auth = new AuthHarness({ maxClients: 20 });
    const { clients } = auth.harness;
    expect(fill(auth, "a")).toHaveLength(4);
    expect(clients.excessOf("a", ANONYMOUS, true)).toBe("address");
    // All handshakes at the same time may have found room.
    expect(connect(auth, auth.awaiting, "a").socket.closedWith).toBe(4429);
    expect(clients.excessOf("a", ANN)).toBeUndefined();
    expect(fill(auth, "b")).toHaveLength(3);
    while (clients.refusal === undefined) expect(fill(auth, crypto.randomUUID())).not.toEqual([]);
    expect(clients.refusal).toBe("full");
  });

  test("count until they have shown one", async () => {
    const auth = new AuthHarness({ maxClients: 20 });
    const peers = [1, 2, 3, 4].map(() => auth.join());
    const { addressGroup } = peers[0]!.connection;
    const isFull = () => auth.harness.clients.excessOf(addressGroup, ANONYMOUS, true) !== undefined;
    expect(isFull()).toBe(true);
    await auth.auth(peers[0]!, grantOf());
    expect(isFull()).toBe(false);
    await auth.auth(peers[0]!, grantOf({ allow: ["a"] }));
    expect(auth.join().socket.closedWith).toBeUndefined();
    expect(isFull()).toBe(true);
  });

  test("count until their sockets are closed", () => {
    const auth = new AuthHarness({ maxClients: 20 });
    const peers = fill(auth, "a");
    const [first] = peers;
    first!.socket.onClose = () => {};
    first!.connection.end("unauthenticated");
    expect(fill(auth, "a")).toHaveLength(0);
    first!.connection.closed(1006);
    expect(fill(auth, "a")).toHaveLength(1);
  });
});
