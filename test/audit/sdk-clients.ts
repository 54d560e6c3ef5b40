import {
  type ConnectOptions,
  type SubscribeOptions,
  serverSentEvents,
  shared,
  webSocketOrEvents,
} from "spillway/client";
import { FakeBrowser } from "../client/support/fake-browser.ts";
import { FakePlatform } from "../client/support/fake-platform.ts";
import type { AuditedParty, ClientAccess } from "./audited-client.ts";
import type { Random } from "./random.ts";
import { type Guarantee, SdkClient, SdkConnection } from "./sdk-client.ts";

export interface SdkClientsOptions {
  readonly random: Random;
  /** All subjects of the audit, and two of them. */
  readonly all: string;
  readonly two: readonly [string, string];
  readonly insider: ClientAccess;
  readonly outsider: ClientAccess;
  /** Returns the URLs of the gateways, of which a client takes any. */
  urls(): readonly string[];
  /** Returns the URL of a gateway in at-least-once. */
  ackedUrl(): string;
}

/** The clients that use the SDK, each in another way. */
export function sdkClients(options: SdkClientsOptions): readonly AuditedParty[] {
  const { random, insider, outsider } = options;
  const all = [options.all];
  const [one, other] = options.two;
  const policy = "drop-oldest";
  const url = (): string => random.of(options.urls());
  const open =
    (more: ConnectOptions = {}, access = insider) =>
    (): SdkConnection =>
      new SdkConnection(url, access.token, random, (base) => ({ ...base, ...more }));
  const acked = (): SdkConnection => new SdkConnection(options.ackedUrl, insider.token, random);
  let both: SdkConnection | undefined;
  const together = (): SdkConnection => {
    if (both === undefined || both.isKilled) both = open()();
    return both;
  };
  const browser = new FakeBrowser(new FakePlatform());
  const [sharedUrl] = options.urls() as [string];
  const tab = (): SdkConnection =>
    new SdkConnection(sharedUrl, insider.token, random, shared, browser.tab());
  const client = (
    name: string,
    subjects: readonly string[],
    guarantee: Guarantee,
    connect: () => SdkConnection,
    more: SubscribeOptions<{ n: number }> = {},
  ): SdkClient => new SdkClient(`sdk ${name}`, subjects, insider, guarantee, connect, more);
  return [
    client("websocket", all, "each", open(), { policy }),
    new SdkClient("sdk outsider", all, outsider, "each", open({}, outsider), { policy }),
    client("overlap", all, "each", together, { policy }),
    client("overlapped", [one, other], "each", together, { policy }),
    client("conflate", all, "latest", open(), { policy: "conflate", buffer: 8 }),
    client("rate", all, "latest", open(), { policy, maxRate: 5 }),
    client("events", [one], "each", open({ transport: serverSentEvents() }), { policy }),
    client("fallback", all, "each", open({ transport: webSocketOrEvents() }), { policy }),
    client("tab", all, "each", tab, { policy }),
    client("other tab", [other], "each", tab, { policy }),
    client("session", all, "again", acked),
    client("durable", all, "again", acked, { durable: "audit-work" }),
  ];
}
