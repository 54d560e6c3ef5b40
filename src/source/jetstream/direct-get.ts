import { readRaw } from "../headers.ts";
import type { Answer } from "../requests.ts";
import { type MessagePlace, PlaceReader } from "./message-place.ts";
import type { StreamApi } from "./stream-api.ts";
import { StreamMessage } from "./stream-message.ts";

/** A request for several messages of a stream; see ADR-31. */
export interface DirectRequest {
  readonly seq?: number;
  readonly start_time?: string;
  readonly next_by_subj?: string;
  readonly multi_last?: readonly string[];
  readonly batch: number;
  readonly max_bytes: number;
}

/** The answer to a {@linkcode DirectRequest}. */
export interface DirectAnswer {
  readonly messages: readonly StreamMessage[];
  /** The number of further messages that the request selects. */
  readonly pending: number;
  /** The sequence up to which the latest messages of subjects were looked for; `NaN` for other requests. */
  readonly upTo: number;
}

const TIMEOUT_MS = 5_000;

/**
 * Reads messages of a stream without a consumer. The stream must have `allow_direct`, and the server must be 2.11 or
 * newer (ADR-31).
 *
 * Any replica may answer, and it may lag. A mirror may answer, too, which need not have all messages: its answer does
 * not count. Returns `undefined` if no answer counts.
 *
 * `direct.getBatch` of nats.js 2.29 is not used: it takes a message without data, such as the marker of a deleted
 * key, for the end, and doesn't say whether the answer is whole.
 */
export async function getDirectly(
  api: StreamApi,
  stream: string,
  origin: string,
  request: DirectRequest,
): Promise<DirectAnswer | undefined> {
  const messages: StreamMessage[] = [];
  const { promise, resolve } = Promise.withResolvers<DirectAnswer | undefined>();
  const { unreadable } = api.requests.faults;
  const places = new PlaceReader();
  const take = (answer: Answer): void => {
    const place = readPlace(answer, places);
    if (place === undefined) resolve(endOf(answer, messages));
    else if (place.stream !== stream || !isWhole(place)) resolve(undefined);
    else messages.push(new StreamMessage(place.subject, answer.msg, origin, place, unreadable));
  };
  const close = api.requests.open(api.directSubject(stream), JSON.stringify(request), {
    answer: take,
    failed: () => resolve(undefined),
  });
  const timer = setTimeout(() => resolve(undefined), TIMEOUT_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    close();
  }
}

/** Reads the place of a message; `undefined` if the answer is none: the last one, which has a status. */
function readPlace(answer: Answer, reader: PlaceReader): MessagePlace | undefined {
  const place = reader.read(readRaw(answer.msg));
  if (place !== undefined) return place;
  // The publisher's headers may have the same names, and come first.
  const { headers } = answer;
  const subject = headers.last("Nats-Subject");
  if (subject === undefined) return undefined;
  return {
    stream: headers.last("Nats-Stream") ?? "",
    subject,
    sequence: Number(headers.last("Nats-Sequence")),
    timestampMs: Date.parse(headers.last("Nats-Time-Stamp") ?? ""),
  };
}

function isWhole({ sequence, timestampMs }: MessagePlace): boolean {
  return Number.isSafeInteger(sequence) && sequence > 0 && !Number.isNaN(timestampMs);
}

/** Reads the last answer, which has a status. */
function endOf({ headers }: Answer, messages: readonly StreamMessage[]): DirectAnswer | undefined {
  const pending = Number(headers.last("Nats-Num-Pending"));
  const upTo = Number(headers.last("Nats-UpTo-Sequence"));
  const isGood = headers.code === 204 && Number.isSafeInteger(pending);
  return isGood ? { messages, pending, upTo } : undefined;
}

/** Whether messages of a stream can be read without a consumer. */
export function allowsDirect(api: StreamApi, info: { readonly allowsDirect: boolean }): boolean {
  return info.allowsDirect && api.isAtLeast(2, 11);
}
