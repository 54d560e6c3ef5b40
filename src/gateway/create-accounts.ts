import { streamInputs } from "../config/stream-inputs.ts";
import type { Grant } from "../core/access/grant.ts";
import { Broadcaster } from "../core/broadcaster.ts";
import type { BroadcasterOptions } from "../core/broadcaster-options.ts";
import { Clients } from "../core/clients.ts";
import type { Fanouts } from "../core/fanout/audience-registry.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { ConnectionObserver } from "../core/ports/observer.ts";
import type { PresenceBucket } from "../core/ports/presence.ts";
import type { SourceStatus } from "../core/ports/source.ts";
import type { Tracer } from "../core/ports/tracer.ts";
import { EnvelopeEncoder } from "../core/wire/envelope.ts";
import { MemorySource } from "../source/memory.ts";
import { Account } from "./account.ts";
import { Accounts } from "./accounts.ts";
import { clientPublisherOf } from "./client-publishing.ts";
import { canPublish, type GatewaySource } from "./create-source.ts";
import type { LiveConfig } from "./live-config.ts";
import { memoryLimitBytes } from "./memory-limit.ts";
import { VERSION } from "./version.ts";

interface AccountsParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly fanouts: Fanouts;
  readonly observer: ConnectionObserver | undefined;
  /** Records what happens to messages; by default nobody does. */
  readonly tracer?: Tracer | undefined;
  /** The default account's. */
  readonly source: GatewaySource;
  /** Make the sources of the other accounts, by name. */
  readonly accountSources: ReadonlyMap<string, () => GatewaySource>;
  /** The bucket in which gateways tell each other who is on which subjects; `undefined`: presence is off. */
  readonly presenceBucket: PresenceBucket | undefined;
  /** `max_clients`, or fewer if file descriptors allow only fewer. */
  maxClients(): number;
  /** Whether the token of a grant is revoked. */
  isRevoked(grant: Grant): boolean;
  /** Returns the grant that a client has by now; `undefined`: none. */
  renewed(grant: Grant): Grant | undefined;
  /** The status of the default account's source has changed. */
  statusChanged(status: SourceStatus): void;
}

/** Puts together what serves the clients: all of them, and those of each account. Opens nothing. */
export function createAccounts(
  live: LiveConfig,
  parts: AccountsParts,
): { readonly clients: Clients; readonly accounts: Accounts } {
  const { config } = live;
  const { clock, log, meter, fanouts, source: ownSource, accountSources, isRevoked } = parts;
  const { observer, presenceBucket, renewed, tracer } = parts;
  const memoryBytes = memoryLimitBytes();
  const clients = new Clients(
    live.view((now) => ({
      ...now,
      maxClients: parts.maxClients(),
      maxTotalQueueBytes: now.maxTotalQueueBytes ?? memoryBytes / 4,
    })),
    {
      ...{ clock, log, meter, isRevoked, renewed, observer, presenceBucket },
      broadcasters: {
        get default() {
          return accounts.defaultBroadcaster;
        },
        openFor: (grant) => accounts.openFor(grant),
      },
    },
  );
  const encoder = new EnvelopeEncoder(config);
  // An account may be opened and closed often: its options are made once.
  const options = new Map<string | undefined, BroadcasterOptions>();
  const optionsOf = (account: string | undefined, isMemory: boolean): BroadcasterOptions => {
    let known = options.get(account);
    if (known === undefined) {
      known = live.view((now) => ({
        ...now,
        account,
        demanded: now.subjects,
        streams: isMemory ? [] : streamInputs(now.streams),
      }));
      options.set(account, known);
    }
    return known;
  };
  const makeBroadcaster = (source: GatewaySource, account?: string, emptied?: () => void) =>
    new Broadcaster(optionsOf(account, source instanceof MemorySource), {
      ...{ clients, log, clock, encoder, fanouts, meter, source, isRevoked, emptied, tracer },
      publisher: clientPublisherOf(config, source),
      deadLetters: canPublish(source) ? source : undefined,
      version: VERSION,
    });
  const accounts = new Accounts(config, {
    ...{ clock, log, clients },
    default: new Account({
      source: ownSource,
      broadcaster: makeBroadcaster(ownSource),
      meter,
      statusChanged: (status) => parts.statusChanged(status),
    }),
    make: (name, emptied) => {
      const source = accountSources.get(name)!();
      const broadcaster = makeBroadcaster(source, name, emptied);
      return new Account({ name, source, broadcaster, meter });
    },
  });
  return { clients, accounts };
}
