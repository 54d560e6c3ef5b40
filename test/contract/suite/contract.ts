import { describe, setDefaultTimeout } from "bun:test";
import type { Target } from "../../support/runtimes.ts";
import { abuse } from "./abuse.ts";
import { access } from "./access.ts";
import { atLeastOnce } from "./at-least-once.ts";
import { badInput } from "./bad-input.ts";
import { browsers } from "./browsers.ts";
import { compression } from "./compression.ts";
import { configuration } from "./configuration.ts";
import { demand } from "./demand.ts";
import { descriptors } from "./descriptors.ts";
import { durable } from "./durable.ts";
import { envelope } from "./envelope.ts";
import { eventStream } from "./event-stream.ts";
import { frameBudget } from "./frame-budget.ts";
import { fuzz } from "./fuzz.ts";
import { governor } from "./governor.ts";
import { handshake } from "./handshake.ts";
import { http } from "./http.ts";
import { jetstreamRefusals } from "./jetstream-refusals.ts";
import { keepalive } from "./keepalive.ts";
import { lifecycle } from "./lifecycle.ts";
import { logging } from "./logging.ts";
import { nats } from "./nats.ts";
import { natsAway } from "./nats-away.ts";
import { natsLimits } from "./nats-limits.ts";
import { oddMessages } from "./odd-messages.ts";
import { policies } from "./policies.ts";
import { reconnect } from "./reconnect.ts";
import { resume } from "./resume.ts";
import { slowClients } from "./slow-clients.ts";
import { streamFaults } from "./stream-faults.ts";
import { streamSubjects } from "./stream-subjects.ts";
import { streaming } from "./streaming.ts";
import { streamkitClient } from "./streamkit-client.ts";
import { streams } from "./streams.ts";
import { subjects } from "./subjects.ts";
import { v1 } from "./v1.ts";

/** What could be different with other sockets of the same runtime. */
export const WITH_SOCKETS: readonly ((target: Target) => void)[] = [
  envelope,
  streaming,
  subjects,
  slowClients,
  v1,
  policies,
  resume,
  atLeastOnce,
  streamkitClient,
  eventStream,
  compression,
  governor,
  badInput,
  fuzz,
  abuse,
  browsers,
  keepalive,
  handshake,
  http,
  lifecycle,
  descriptors,
  frameBudget,
];

/** What every runtime must do, theme by theme. */
export const THEMES: readonly ((target: Target) => void)[] = [
  ...WITH_SOCKETS,
  demand,
  nats,
  natsAway,
  reconnect,
  natsLimits,
  streams,
  streamFaults,
  durable,
  oddMessages,
  jetstreamRefusals,
  streamSubjects,
  access,
  logging,
  configuration,
];

/** The behavioural suite against the real command, on one runtime. */
export function contract(target: Target, themes = THEMES): void {
  setDefaultTimeout(60_000);
  describe(`Contract on ${target.name}`, () => {
    for (const theme of themes) theme(target);
  });
}
