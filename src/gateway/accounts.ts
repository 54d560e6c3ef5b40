import type { Grant } from "../core/access/grant.ts";
import type { Refusal } from "../core/access/refusal.ts";
import type { Broadcaster } from "../core/broadcaster.ts";
import type { Clients } from "../core/clients.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { SourceStatus } from "../core/ports/source.ts";
import type { Posting, Publishing } from "../core/publishing/publishing.ts";
import type { Sender } from "../core/publishing/quotas.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import type { Account } from "./account.ts";
import { releaseTogether } from "./cleanup.ts";

interface AccountsOptions {
  readonly maxOpenAccounts: number;
  /** The most time that the check of a token may take, at the end of which its client waits for its account. */
  readonly authTimeoutMs: number;
  readonly accountLingerMs: number;
}

interface AccountsParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly clients: Clients;
  /** The account of clients that name none. It is always open. */
  readonly default: Account;
  /** Makes another account. */
  make(name: string, emptied: () => void): Account;
}

/** The state of an account that is open. */
export interface AccountState {
  readonly status: SourceStatus;
  /** The number of its clients' sessions, those without a connection included. */
  readonly sessions: number;
}

/** An account that was opened for its clients. */
interface OpenAccount {
  readonly name: string;
  readonly account: Account;
  /** Resolves when its first clients can be let in: it is connected, or takes too long. */
  readonly ready: Promise<void>;
  /** The number of clients that wait for it, and of messages that are published without a connection. */
  uses: number;
  /** Cancels the timer that closes it. */
  cancelLinger: Cancel;
}

/**
 * The first clients of an account wait so long for its connection to NATS, so that they aren't told of a gap. Later
 * ones, and all of them if NATS is away, are let in at once.
 */
const MOST_WAIT_MS = 2000;
/** The most time that the last messages of an account that is closed may take to NATS. */
const CLOSE_MS = 2000;
/** The most connections of one account that are being closed: each stays open for a second (`account_linger`) before. */
const MOST_CLOSING = 3;
/** Minimum time between two log lines about the bound. */
const LOG_INTERVAL_MS = 10_000;

const NO_ROOM: Refusal = {
  code: "unavailable",
  message: "too many accounts are in use",
  retryable: true,
};

/**
 * The accounts of NATS that clients belong to. Opens each one for its first client, and closes it some time after the
 * last one. Accounts share nothing: each has a connection to NATS and a broadcaster of its own.
 */
export class Accounts {
  readonly #options: AccountsOptions;
  readonly #parts: AccountsParts;
  readonly #logLimit: LogLimit<"full">;
  /** By name; the one that was idle for the longest time is the first of those without clients. */
  readonly #open = new Map<string, OpenAccount>();
  readonly #closing = new Set<Promise<void>>();
  #isRunning = false;

  constructor(options: AccountsOptions, parts: AccountsParts) {
    this.#options = options;
    this.#parts = parts;
    this.#logLimit = new LogLimit(parts.clock, LOG_INTERVAL_MS);
  }

  /** Serves clients that name no account, and those that have not shown a token yet. */
  get defaultBroadcaster(): Broadcaster {
    return this.#parts.default.broadcaster;
  }

  /**
   * Opens the account of a client, unless it is open; if too many are, closes one without clients for it.
   *
   * @returns the broadcaster of the account; `undefined`: there is no room for it.
   */
  openFor({ terms: { account } }: Grant): Broadcaster | undefined {
    if (account === undefined) return this.defaultBroadcaster;
    return this.#openNamed(account)?.account.broadcaster;
  }

  /**
   * Opens the account of a client like `openFor`, and resolves when the client can be let in. The account stays open until
   * then. Opens nothing for a client that has as many connections as it may have.
   */
  async ready({ terms: { account, principal } }: Grant): Promise<void> {
    // The client's address counts elsewhere: it may be connected already.
    if (account === undefined || this.#parts.clients.excessOf("", principal) !== undefined) return;
    const open = this.#openNamed(account);
    if (open === undefined) return;
    const release = this.#use(open);
    await open.ready;
    release();
  }

  /**
   * Lets a client publish a message that has no connection, once its account is connected; see `Publishing.post`. The
   * account stays open until then. Opens nothing for a message that the client may not publish.
   */
  async post(sender: Sender, subject: string, bytes: number): Promise<Posting | Refusal> {
    const name = sender.grant.terms.account;
    if (name === undefined || !sender.grant.mayPublish(subject)) {
      return this.defaultBroadcaster.publishing.post(sender, subject, bytes);
    }
    const open = this.#openNamed(name);
    if (open === undefined) {
      this.refused(sender, { type: "publish", subject }, NO_ROOM);
      return NO_ROOM;
    }
    const release = this.#use(open);
    await open.ready;
    const posting = open.account.broadcaster.publishing.post(sender, subject, bytes);
    if ("code" in posting) {
      release();
      return posting;
    }
    return {
      publish: (data, end, parent) => posting.publish(data, end, parent),
      release: () => {
        posting.release();
        release();
      },
    };
  }

  /** Notes that a message was refused; see `Publishing.refused`. */
  refused(...[sender, message, refusal]: Parameters<Publishing["refused"]>): void {
    const { account: name } = sender.grant.terms;
    const open = name === undefined ? undefined : this.#open.get(name);
    const { publishing } = open?.account.broadcaster ?? this.defaultBroadcaster;
    publishing.refused(sender, message, refusal);
  }

  /** The subscriptions at the sources of all accounts. */
  get upstream(): { readonly subscriptions: number; readonly pending: number } {
    return {
      subscriptions: this.#sum(({ upstream }) => upstream.subscriptions),
      pending: this.#sum(({ upstream }) => upstream.pending),
    };
  }

  /** The sizes of the rings of all accounts together. */
  get kept(): { readonly messages: number; readonly bytes: number } {
    return {
      messages: this.#sum(({ kept }) => kept.messages),
      bytes: this.#sum(({ kept }) => kept.bytes),
    };
  }

  /** The broadcasters of the accounts that are open. */
  get broadcasters(): readonly Broadcaster[] {
    return this.#all.map(({ broadcaster }) => broadcaster);
  }

  /** The bytes that sessions without a connection take, of all accounts. */
  get sessionBytes(): number {
    return this.#sum(({ sessions }) => sessions.detachedBytes);
  }

  /** The number of durables in use, of all accounts. */
  get durables(): number {
    return this.#sum(({ durables }) => durables);
  }

  /** The states of the open accounts beside the default one, by name. */
  get states(): Readonly<Record<string, AccountState>> {
    const states = [...this.#open.values()].map(({ name, account }) => {
      const { source, broadcaster } = account;
      return [name, { status: source.status, sessions: broadcaster.sessions.size }] as const;
    });
    return Object.fromEntries(states);
  }

  start(): void {
    this.#isRunning = true;
    this.#parts.default.start();
  }

  /** Delivers what has come from NATS, and takes no more. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isRunning = false;
    for (const { cancelLinger } of this.#open.values()) cancelLinger();
    await releaseTogether(
      this.#all.map(
        ({ source }) =>
          () =>
            source.drain(timeoutMs),
      ),
    );
  }

  /** Closes all connections to NATS. */
  async stop(timeoutMs: number): Promise<void> {
    this.#isRunning = false;
    const { default: one } = this.#parts;
    for (const open of [...this.#open.values()]) this.#close(open, timeoutMs);
    await releaseTogether([() => one.stop(timeoutMs), ...[...this.#closing].map((it) => () => it)]);
  }

  #sum(figure: (broadcaster: Broadcaster) => number): number {
    return this.#all.reduce((sum, { broadcaster }) => sum + figure(broadcaster), 0);
  }

  get #all(): readonly Account[] {
    return [this.#parts.default, ...[...this.#open.values()].map(({ account }) => account)];
  }

  #openNamed(name: string): OpenAccount | undefined {
    const known = this.#open.get(name);
    if (known !== undefined) {
      if (isIdle(known)) this.#linger(known);
      return known;
    }
    if (!this.#isRunning || !this.#makeRoom()) return undefined;
    const { clock, log, make } = this.#parts;
    const account = make(name, () => this.#linger(open));
    const ready = account.connected(clock, Math.min(MOST_WAIT_MS, this.#options.authTimeoutMs / 2));
    const open: OpenAccount = { name, account, ready, uses: 0, cancelLinger: () => {} };
    this.#open.set(name, open);
    account.start();
    this.#linger(open);
    log.info("Opened account {account}", { event: "account_opened", account: name });
    return open;
  }

  /** Keeps an account open. @returns a function that ends this, of which only the first call counts. */
  #use(open: OpenAccount): () => void {
    open.uses++;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      open.uses--;
      this.#linger(open);
    };
  }

  /** Closes an account without clients if too many are open. @returns whether another one may be opened. */
  #makeRoom(): boolean {
    const { maxOpenAccounts } = this.#options;
    // The connections that are being closed are bounded, too.
    if (this.#closing.size < maxOpenAccounts) {
      if (this.#open.size < maxOpenAccounts) return true;
      const idle = [...this.#open.values()].find(isIdle);
      if (idle !== undefined) {
        this.#close(idle, CLOSE_MS);
        return true;
      }
    }
    const others = this.#logLimit.othersBefore("full");
    if (others !== undefined) {
      this.#parts.log.warn(
        "Refused a client: {accounts} accounts are open and {closing} are being closed, and max_open_accounts allows no more; {others} others since the last line",
        {
          event: "accounts_full",
          ...{ accounts: this.#open.size, closing: this.#closing.size, others },
        },
      );
    }
    return false;
  }

  /** Closes an account after some time, if it is idle then. */
  #linger(open: OpenAccount): void {
    open.cancelLinger();
    if (!this.#isRunning || this.#open.get(open.name) !== open) return;
    this.#open.delete(open.name);
    this.#open.set(open.name, open);
    open.cancelLinger = this.#parts.clock.after(this.#options.accountLingerMs, () => {
      if (isIdle(open)) this.#close(open, CLOSE_MS);
    });
  }

  #close(open: OpenAccount, timeoutMs: number): void {
    const { name, account } = open;
    const { clients, log } = this.#parts;
    open.cancelLinger();
    this.#open.delete(name);
    clients.remove(account.broadcaster);
    account.broadcaster.stop();
    const closed = account
      .stop(timeoutMs)
      .catch((error: unknown) => {
        const properties = { event: "account_stop_failed", account: name, reason: reasonOf(error) };
        log.error("Account {account} failed while it was closed: {reason}", properties);
      })
      .then(() => void this.#closing.delete(closed));
    this.#closing.add(closed);
    log.info("Closed account {account}", { event: "account_closed", account: name });
  }
}

/** Returns the most connections to NATS that accounts have at a time, of which some are being closed. */
export function mostConnections(
  accounts: number,
  { maxOpenAccounts }: Pick<AccountsOptions, "maxOpenAccounts">,
): number {
  return Math.min(accounts, maxOpenAccounts) + Math.min(accounts * MOST_CLOSING, maxOpenAccounts);
}

function isIdle({ account, uses }: OpenAccount): boolean {
  return uses === 0 && account.broadcaster.sessions.size === 0;
}
