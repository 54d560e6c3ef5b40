/**
 * The types of the library, as a host sees them. The compiler checks this file; nothing runs it. Each
 * `@ts-expect-error` is an error of a host that the types must find.
 */

import { serve } from "@hono/node-server";
import type { Hono } from "hono";
import {
  type ConfigInput,
  createGateway,
  type ErrorCode,
  type Gateway,
  type MessageSource,
  type SpillwayError,
} from "spillway";
import { createGateway as createBunGateway } from "spillway/bun";
import { createGateway as createDenoGateway } from "spillway/deno";
import type { NodeWebSocketOption } from "spillway/node";
import { createGateway as createNodeGateway } from "spillway/node";
import {
  createOutput,
  type LifecycleComponent,
  type OutputDeps,
  Registry,
  register,
} from "spillway/streamkit";
import type { z } from "zod";
import type { keys } from "../../src/config/keys.ts";

type Equal<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const yes = <_ extends true>(): void => {};

/** The generated type takes what the schema takes: the same keys, and for each the same values. */
type SchemaInput = z.input<z.ZodObject<typeof keys>>;
type OwnKeys = Omit<ConfigInput, "$schema" | "ports" | "passthrough" | "security">;
type Writable<T> = T extends readonly (infer E)[]
  ? Writable<E>[]
  : T extends object
    ? { -readonly [K in keyof T]: Writable<T[K]> }
    : T;
yes<Equal<keyof OwnKeys, keyof SchemaInput>>();
yes<
  Equal<
    { [K in keyof OwnKeys]-?: Writable<Exclude<OwnKeys[K], undefined>> },
    { [K in keyof SchemaInput]-?: Exclude<SchemaInput[K], undefined> }
  >
>();

export async function configuration(): Promise<void> {
  await createGateway();
  await createGateway({ port: 8080, write_timeout: "5s", max_queue_bytes: "16MiB" });
  await createGateway({ nats_url: process.env.NATS_URL, ports: { inputs: [{ subject: "a.>" }] } });
  // @ts-expect-error: a key that doesn't exist
  await createGateway({ prot: 8080 });
  // @ts-expect-error: the code's name of a key
  await createGateway({ writeTimeoutMs: 5000 });
  // @ts-expect-error: a duration without a unit
  await createGateway({ write_timeout: 5000 });
  // @ts-expect-error: no policy
  await createGateway({ policy: "drop" });
  // @ts-expect-error: no such option
  await createGateway({}, { logger: undefined });
}

export async function gateway(source: MessageSource): Promise<void> {
  const mounted = await createGateway(
    { subjects: ["orders.>"] },
    {
      source,
      onConnect: ({ id, address, dialect }) => {
        yes<Equal<typeof id, number>>();
        yes<Equal<typeof address, string>>();
        yes<Equal<typeof dialect, "plain" | "v1" | "sse">>();
      },
      onDisconnect: async (_, { reason }) => {
        // @ts-expect-error: no reason of this name
        if (reason === "bored") return;
      },
    },
  );
  yes<Equal<typeof mounted, Gateway>>();
  yes<Equal<typeof mounted.app, Hono>>();
  mounted.publish("orders.new", "text", { one: "1", several: ["1", "2"] });
  mounted.publish("orders.new", Uint8Array.of(1, 2));
  // @ts-expect-error: an object is no payload
  mounted.publish("orders.new", { id: 7 });
  const { clients, ledger } = mounted.stats();
  yes<Equal<typeof clients.disconnected.slow_consumer, number>>();
  yes<Equal<typeof ledger.offered, number>>();
  // @ts-expect-error: the figures are read only
  clients.connected = 0;
}

export async function bun(): Promise<void> {
  const { app, websocket } = await createBunGateway({ subjects: ["orders.>"] });
  Bun.serve({ fetch: app.fetch, websocket });
  // @ts-expect-error: Node's server takes another option
  serve({ fetch: app.fetch, websocket });
}

export async function node(): Promise<void> {
  const { app, websocket } = await createNodeGateway({ subjects: ["orders.>"] });
  yes<Equal<typeof websocket, NodeWebSocketOption>>();
  serve({ fetch: app.fetch, websocket });
  // @ts-expect-error: Bun's server takes another option
  Bun.serve({ fetch: app.fetch, websocket });
}

export async function deno(): Promise<void> {
  const { websocket } = await createDenoGateway({ subjects: ["orders.>"] });
  yes<Equal<typeof websocket, undefined>>();
}

export function errors({ code }: SpillwayError): void {
  yes<Equal<typeof code, ErrorCode>>();
  // @ts-expect-error: no code of this name
  if (code === "CONFIG_WRONG") return;
}

export function streamkit(): void {
  const output: LifecycleComponent = createOutput({ port: 8080 });
  output.initialize();
  const registry = new Registry<OutputDeps & { readonly site: string }>();
  register(registry);
  // @ts-expect-error: the host's dependencies have a site
  registry.createComponent("feed", { type: "output", name: "websocket", enabled: true }, {});
}
