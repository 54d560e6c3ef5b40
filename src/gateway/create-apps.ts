import type { Hono } from "hono";
import type { Access } from "../access/access.ts";
import type { AuditLog } from "../access/audit-log.ts";
import type { FileReader } from "../access/watched-files.ts";
import { ANY_ADDRESS } from "../config/address.ts";
import type { Clients } from "../core/clients.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { createAdminApp } from "../http/admin-app.ts";
import { consoleOptions, createApp } from "../http/app.ts";
import type { EventStreams } from "../http/event-stream.ts";
import { isLoopback } from "../http/host.ts";
import type { ReloadAnswer } from "../http/reload.ts";
import type { RequestTracer } from "../http/request-trace.ts";
import type { StatusReport } from "../http/status.ts";
import type { Listener, Runtime } from "../runtime/runtime.ts";
import type { Accounts } from "./accounts.ts";
import { AdminListener } from "./admin-listener.ts";
import { exposedSubjects } from "./create-access.ts";
import type { Placement } from "./engine.ts";
import type { LiveConfig } from "./live-config.ts";
import type { RevocationControl } from "./revocation-control.ts";

interface AppsParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly audit: AuditLog;
  readonly meter: Meter;
  readonly runtime: Runtime;
  readonly placement: Placement;
  readonly clients: Clients;
  readonly accounts: Accounts;
  readonly access: Access;
  readonly revocation: RevocationControl;
  readonly eventStreams: EventStreams;
  readonly report: StatusReport;
  requestDrain(): void;
  /** See `EngineReport.requestReload`. */
  requestReload(): Promise<ReloadAnswer | undefined>;
  /** Whether some client may publish by HTTP. */
  takesPosts(): boolean;
  readonly tracer: RequestTracer | undefined;
  /** Reads a file, again when it changes. */
  file(path: string): FileReader;
  /** The address where clients connect; `undefined` while the gateway doesn't listen. */
  listener(): Listener | undefined;
}

/** Makes the HTTP app for clients, and the listener for operators with its own app. Opens nothing. */
export function createApps(
  live: LiveConfig,
  parts: AppsParts,
): { readonly app: Hono; readonly admin: AdminListener } {
  const { clock, log, audit, meter, runtime, clients, accounts, access, report } = parts;
  const { config } = live;
  const { eventStreams, takesPosts } = parts;
  const { sockets } = runtime;
  const mounted = parts.placement === "mounted";
  const listening = () =>
    mounted ? undefined : (parts.listener() ?? { address: config.host, port: config.port });
  const admin: AdminListener = new AdminListener(config, {
    ...{ runtime, clock, log },
    file: (path) => parts.file(path),
    makeFetch: (operators) =>
      createAdminApp(
        { ...config, host: config.adminHost },
        {
          ...{ clock, log, audit, report },
          listening: () => admin.listener,
          operatorOf: operators === undefined ? undefined : (token) => operators.find(token),
          addressOf: (c) => sockets.addressOf(c),
          revoke: (order) => parts.revocation.revoke(order),
          requestDrain: () => parts.requestDrain(),
          requestReload: () => parts.requestReload(),
          clients: mounted ? undefined : (page) => clientsUrl(page, config.host, listening()?.port),
          console: consoleOptions(
            { ...config, subjects: exposedSubjects(config) },
            takesPosts(),
            access.isRequired,
          ),
        },
      ).fetch,
  });
  const app = createApp(
    live.view((now) => ({ ...now, subjects: exposedSubjects(now), mounted })),
    {
      ...{ clock, log, audit, meter, clients, accounts, access, sockets, eventStreams },
      ...{ listening, takesPosts, report, tracer: parts.tracer },
      derive: (make) => live.derive((_, before) => make(before)),
      consolePort: () => admin.listener?.port,
    },
  );
  return { app, admin };
}

/** Returns where clients connect, seen from a page on another port; a page's host name is one of this machine. */
function clientsUrl(page: URL, host: string, port = 0): URL {
  const isNamed = !isLoopback(host) && !ANY_ADDRESS.includes(host);
  const name = host.includes(":") ? `[${host}]` : host;
  return new URL(`${page.protocol}//${isNamed ? name : page.hostname}:${port}`);
}
