/**
 * The types of the client, as a page sees them. The compiler checks this file; nothing runs it. Each `@ts-expect-error` is
 * an error of a page that the types must find.
 */
import {
  type ClientErrorCode,
  type Connection,
  connect,
  type GapError,
  type Item,
  type Published,
  type StandardSchema,
  webStorageCursors,
} from "spillway/client";
import { z } from "zod";

type Equal<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const yes = <_ extends true>(): void => {};

interface Order {
  readonly id: number;
}

export async function items(connection: Connection): Promise<void> {
  for await (const item of connection.subscribe<Order>("orders.>")) {
    yes<Equal<typeof item, Item<Order>>>();
    // @ts-expect-error: not every item has a payload
    item.payload;
    if (item.type === "data") yes<Equal<typeof item.payload, Order>>();
    else if (item.type === "gap") yes<Equal<typeof item.count, number>>();
    else if (item.type === "invalid") yes<Equal<typeof item.payload, unknown>>();
    else if (item.type === "end") yes<Equal<typeof item.subject, string>>();
    else yes<Equal<typeof item.type, "caught_up">>();
  }
  for await (const message of connection.subscribe<Order>(["a", "b"]).messages()) {
    yes<Equal<typeof message.payload, Order>>();
  }
  for await (const item of connection.subscribe("orders.>")) {
    if (item.type === "data") yes<Equal<typeof item.payload, unknown>>();
    // @ts-expect-error: an unknown payload has no fields
    if (item.type === "data") item.payload.id;
  }
}

export async function schemas(connection: Connection, schema: StandardSchema<Order>) {
  for await (const item of connection.subscribe("orders.>", { schema })) {
    if (item.type === "data") yes<Equal<typeof item.payload, Order>>();
  }
  const ofZod = z.object({ id: z.number(), at: z.coerce.date() });
  for await (const item of connection.subscribe("orders.>", { schema: ofZod })) {
    if (item.type === "data") yes<Equal<typeof item.payload, { id: number; at: Date }>>();
  }
}

export async function options(connection: Connection): Promise<void> {
  connect("wss://live.example/ws", { token: async () => "t", cursors: webStorageCursors() });
  connect(() => "wss://live.example/ws");
  // @ts-expect-error: no such option
  connect("wss://live.example/ws", { reconnect: true });
  // @ts-expect-error: a number is no subject
  connection.subscribe(7);
  connection.subscribe("a", { from: { seq: 7 }, policy: "conflate", mode: "at-least-once" });
  // @ts-expect-error: no policy
  connection.subscribe("a", { policy: "drop" });
  // @ts-expect-error: no start
  connection.subscribe("a", { from: "first" });
  yes<Equal<Awaited<ReturnType<typeof connection.publish>>, Published>>();
  const { payload } = await connection.request<Order>("svc.price", { sku: 7 });
  yes<Equal<typeof payload, Order>>();
}

export function errors({ code, gap }: GapError): void {
  yes<Equal<typeof code, ClientErrorCode>>();
  yes<Equal<typeof gap.type, "gap">>();
  // @ts-expect-error: no code of this name
  if (code === "bored") return;
}
