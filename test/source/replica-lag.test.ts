import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { StreamPage } from "../../src/core/ports/source.ts";
import { JetStreamHistory } from "../../src/source/jetstream/history.ts";
import { StreamApi } from "../../src/source/jetstream/stream-api.ts";
import { Requests } from "../../src/source/requests.ts";
import { countTo } from "../contract/support/nats-fixture.ts";
import { type NatsPeer, type PeerRequest, startNatsPeer } from "./nats-peer.ts";

const CREATED = "2026-01-01T00:00:00Z";
const ORIGIN = `KEPT:${BigInt(`${Date.parse(CREATED) / 1000}000000000`).toString(36)}`;
const QUERY = { origin: ORIGIN, subjects: ["kept.>"] };
/** The last message of the leader, and of the replica at first. */
const LAST = 9;
const LAGGING = 5;

/** A JetStream of which one replica lags. */
let peer: NatsPeer;
let requests: Requests;
let history: JetStreamHistory;
/** The last message of the replica that answers direct gets and has all consumers. */
let replica = LAGGING;
let allowsDirect = true;
/** The last message with which a consumer may start: older servers start with the next one of the replica, if that is earlier. */
let latestStart = LAST;
let mayAskLeader = true;
let denied: string[] = [];
/** The number of requests to the leader for a message. */
let askedOfLeader = 0;
/** By the name of a consumer, the sequences that it has not sent yet. */
const consumers = new Map<string, readonly number[]>();

const timeOf = (sequence: number): number => Date.parse(CREATED) + sequence * 1000;
const subjectOf = (sequence: number): string => (sequence % 2 === 0 ? "kept.even" : "kept.odd");
const fits = (sequence: number, pattern: string): boolean =>
  pattern.endsWith(">") || pattern === subjectOf(sequence);

/** Answers as nats-server does. */
const API: Readonly<Record<string, (request: PeerRequest) => void>> = {
  "STREAM.INFO.KEPT"({ answer }) {
    const config = { subjects: ["kept.>"], allow_direct: allowsDirect, num_replicas: 3 };
    const last_ts = new Date(timeOf(LAST)).toISOString();
    const state = { first_seq: 1, last_seq: LAST, messages: LAST, num_deleted: 0, last_ts };
    answer(JSON.stringify({ created: CREATED, config, state }));
  },
  "STREAM.MSG.GET.KEPT"({ subject, body, answer }) {
    askedOfLeader++;
    const { seq, next_by_subj } = JSON.parse(body);
    const found = countTo(LAST).find((one) => one >= seq && fits(one, next_by_subj));
    if (!mayAskLeader) requests.denied(subject);
    else if (found === undefined) answer(JSON.stringify({ error: NO_MESSAGE }));
    else {
      const time = new Date(timeOf(found)).toISOString();
      answer(JSON.stringify({ message: { seq: found, subject: subjectOf(found), time } }));
    }
  },
  "DIRECT.GET.KEPT"({ body, answer }) {
    const { seq = 1, start_time = CREATED, multi_last } = JSON.parse(body);
    const chosen = multi_last ? latestPerSubject() : sequencesSince(seq, start_time);
    for (const sequence of chosen) {
      answer("{}", [
        "NATS/1.0",
        "Nats-Stream: KEPT",
        `Nats-Subject: ${subjectOf(sequence)}`,
        `Nats-Sequence: ${sequence}`,
        `Nats-Time-Stamp: ${new Date(timeOf(sequence)).toISOString()}`,
      ]);
    }
    if (chosen.length === 0) answer("", ["NATS/1.0 404"]);
    else answer("", ["NATS/1.0 204", "Nats-Num-Pending: 0", `Nats-UpTo-Sequence: ${replica}`]);
  },
  "CONSUMER.CREATE.KEPT"({ body, answer }) {
    const { opt_start_seq = 1, opt_start_time = CREATED, deliver_policy } = JSON.parse(body).config;
    const latest = latestPerSubject();
    const policies: Record<string, readonly number[]> = {
      last: latest.slice(-1),
      last_per_subject: latest,
    };
    const name = `C${consumers.size}`;
    const start = Math.min(opt_start_seq, latestStart);
    consumers.set(name, policies[deliver_policy] ?? sequencesSince(start, opt_start_time));
    answer(JSON.stringify({ name }));
  },
  "CONSUMER.MSG.NEXT.KEPT"({ subject, answer }) {
    const name = subject.split(".").at(-1)!;
    const sequences = consumers.get(name)!;
    consumers.set(name, []);
    for (const [index, sequence] of sequences.entries()) {
      const left = sequences.length - index - 1;
      const place = `1.${sequence}.${index + 1}.${timeOf(sequence)}000000.${left}`;
      answer("{}", [], `$JS.ACK.KEPT.${name}.${place}`);
    }
    if (sequences.length === 0) answer("", ["NATS/1.0 404"]);
  },
};

/** JSNoMessageFoundErr */
const NO_MESSAGE = { code: 404, err_code: 10037, description: "no message found" };

/** Returns the sequences that the replica has after a place and a time. */
function sequencesSince(sequence: number, time: string): readonly number[] {
  const all = Array.from({ length: replica }, (_, index) => index + 1);
  return all.filter((one) => one >= sequence && timeOf(one) >= Date.parse(time));
}

function latestPerSubject(): readonly number[] {
  return [replica - 1, replica].filter((sequence) => sequence > 0);
}

beforeAll(async () => {
  peer = await startNatsPeer((request) => {
    const name = Object.keys(API).find((one) => request.subject.startsWith(`$JS.API.${one}`));
    if (name !== undefined) API[name]!(request);
  });
});

beforeEach(() => {
  [replica, allowsDirect, mayAskLeader, denied] = [LAGGING, true, true, []];
  latestStart = LAST;
  askedOfLeader = 0;
  consumers.clear();
  const ignore = () => {};
  const noteDenied = ({ message }: Error) => void denied.push(message);
  const faults = { unreadable: ignore, fault: ignore, denied: noteDenied, refused: ignore };
  requests = new Requests(peer.connection, faults);
  const api = new StreamApi(requests);
  history = new JetStreamHistory(() => api);
});

afterEach(() => history.close());

afterAll(async () => {
  await peer.stop();
});

const sequencesOf = (pages: readonly (StreamPage | undefined)[]): number[] =>
  pages.flatMap((page) => page?.messages.map(({ position }) => position!.sequence) ?? []);

async function latestOf(of: "last" | "last_per_subject"): Promise<StreamPage[]> {
  const pages: StreamPage[] = [];
  for await (const page of history.latest(QUERY, of)) pages.push(page);
  return pages;
}

for (const way of ["directly", "by a consumer"]) {
  describe(`A replica that lags and is read ${way}`, () => {
    beforeEach(() => {
      allowsDirect = way === "directly";
    });

    test("is not believed that a stream ends: the rest is read when it is there", async () => {
      const first = await history.read(QUERY, 0);
      expect(sequencesOf([first])).toEqual([1, 2, 3, 4, 5]);
      expect(first?.end).toBe(false);
      await expect(history.read(QUERY, LAGGING)).rejects.toThrow("lags behind");
      replica = LAST;
      const rest = await history.read(QUERY, LAGGING);
      expect(sequencesOf([rest])).toEqual([6, 7, 8, 9]);
      expect(rest).toMatchObject({ end: true, last: LAST });
    });

    test("is believed if the leader has no more either", async () => {
      const page = await history.read({ ...QUERY, subjects: ["kept.even"] }, 8);
      expect(page).toMatchObject({ messages: [], end: true, last: LAST });
    });

    test("is believed if NATS doesn't let the gateway ask the leader, which is reported", async () => {
      mayAskLeader = false;
      const page = await history.read(QUERY, 0);
      expect(page).toMatchObject({ end: true, last: LAST });
      expect(denied.join()).toMatch(/publish to \$JS\.API\.STREAM\.MSG\.GET\.KEPT/);
    });

    for (const of of ["last", "last_per_subject"] as const) {
      test(`has the snapshot "${of}" of an earlier moment`, async () => {
        const pages = await latestOf(of);
        expect(Math.max(...sequencesOf(pages))).toBe(LAGGING);
        expect(pages.at(-1)).toMatchObject({ end: true, last: LAGGING });
      });
    }

    test("has no snapshot if it has nothing yet", async () => {
      replica = 0;
      await expect(latestOf("last")).rejects.toThrow("lags behind");
    });

    test("doesn't decide where a time is that it hasn't reached", async () => {
      for (const sequence of [3, 7, 8, LAST]) {
        expect(await history.before(ORIGIN, timeOf(sequence))).toBe(sequence - 1);
      }
      expect(await history.before(ORIGIN, timeOf(LAST) + 1)).toBe(LAST);
    });
  });
}

test("Its leader is asked for few subjects at a time, until one has more", async () => {
  const others = countTo(500).map((n) => `kept.${n}`);
  const query = { ...QUERY, subjects: ["kept.even", ...others] };
  await expect(history.read(query, 0)).rejects.toThrow("lags behind");
  expect(askedOfLeader).toBeLessThan(50);
});

test("A consumer that starts earlier than it was asked to, as its replica lagged, sends nothing twice", async () => {
  [allowsDirect, replica, latestStart] = [false, LAST, LAGGING + 1];
  expect(sequencesOf([await history.read(QUERY, 7)])).toEqual([8, 9]);
});
