import { type AuditLog, deniedEvent } from "../access/audit-log.ts";
import type {
  ClientEnd,
  ClientInfo,
  ConnectionObserver,
  DeniedRequest,
} from "../core/ports/observer.ts";

/** Records in the audit log which clients connect, what they may not do, and which lose their tokens. */
export class ConnectionAudit implements ConnectionObserver {
  readonly #audit: AuditLog;

  constructor(audit: AuditLog) {
    this.#audit = audit;
  }

  connected(client: ClientInfo): void {
    this.#audit.record("client_connected", { ...whoIs(client), dialect: client.dialect });
  }

  disconnected(client: ClientInfo, { reason }: ClientEnd): void {
    if (reason === "revoked") this.#audit.record("client_revoked", whoIs(client));
    if (reason === "too_many_frames" || reason === "too_many_connections") {
      this.#audit.record("client_limited", { ...whoIs(client), limit: reason });
    }
  }

  denied(client: ClientInfo, { action, reason }: DeniedRequest): void {
    this.#audit.record(deniedEvent(action), { ...whoIs(client), action, reason });
  }
}

function whoIs({ id: client, address, sub, issuer, jti, account }: ClientInfo) {
  return { client, address, sub, issuer, jti, account };
}
