import type { Buffer } from "node:buffer";
import { createHmac, randomBytes } from "node:crypto";
import { FairShares } from "../core/collections/fair-shares.ts";
import type { Clock } from "../core/ports/clock.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { ConcurrencyLimiter } from "../core/timing/concurrency-limiter.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import { AnswerCache } from "./answer-cache.ts";
import type { AccessRefusal, AccessRequest, Authenticator, Identity } from "./authenticator.ts";
import { expectNoOthers, identityOf, readEntries } from "./credential-file.ts";
import {
  hasPassword,
  impossibleHash,
  MAX_PASSWORD_LENGTH,
  type PasswordHash,
  parsePasswordHash,
} from "./password-hash.ts";
import { FileFault, type FileReader, WatchedFiles } from "./watched-files.ts";

/** Who vouches for the names of clients with passwords. */
export const PASSWORDS_ISSUER = "spillway:passwords";

/** How many passwords are hashed at a time, and how many can wait for that. A hash takes 32 MiB and 0.2 seconds of a core. */
const MAX_HASHING = 2;
const MAX_WAITING = 32;
/** How many successful logins are remembered, and for how long. */
const MAX_REMEMBERED = 10_000;
const REMEMBERED_MS = 5 * 60_000;
const MAX_USER_LENGTH = 256;
/** Minimum time between two log lines about failures. */
const LOG_INTERVAL_MS = 10_000;

// A user is sent before a colon, and neither it nor a password has control characters (RFC 7617 §2).
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NOT_IN_USER = /[:\u0000-\u001f\u007f-\u009f]|\p{Surrogate}/u;

/** The same for a wrong password and an unknown user. */
const WRONG: AccessRefusal = {
  kind: "unauthenticated",
  message: "The user or the password is wrong",
};
const BUSY: AccessRefusal = {
  kind: "unavailable",
  message: "Too many clients log in at this moment",
  detail: `too many passwords wait to be checked, of all clients (${MAX_WAITING}) or of this address`,
};
const FAILED: AccessRefusal = {
  kind: "unavailable",
  message: "The password can't be checked now",
};
/** Not `unavailable`: nothing is wrong with the gateway. */
const GONE: AccessRefusal = {
  kind: "unauthenticated",
  message: "The client is gone",
  detail: "the client left before its password was checked",
};

export interface PasswordsOptions {
  readonly file: FileReader;
  readonly clock: Clock;
  readonly log: Log;
}

interface User {
  readonly hash: PasswordHash;
  /** The hash as it is in the file. */
  readonly hashText: string;
  readonly identity: Identity;
}

/** A check of a password that is under way, for all clients that show the same. */
interface Check {
  readonly isRight: Promise<boolean>;
  /** The clients that wait for it. */
  waiting: number;
  /** Ends it, if it has not begun. */
  cancel(): void;
}

interface Users {
  readonly byName: ReadonlyMap<string, User>;
  readonly all: readonly User[];
  /** The identities by user and password. */
  readonly byCredential: ReadonlyMap<string, Identity>;
}

/**
 * Knows clients by user and password (HTTP Basic, RFC 7617). The file is a JSON list of objects with
 *
 * - `user`: the name to log in with.
 * - `password_hash`: as `hashPassword` makes it.
 * - `sub`: the client's name. Default: `user`.
 * - `authorization_details`: what it may do (RFC 9396).
 *
 * It decides about all clients that show a user, known or not. Successful logins are remembered for five minutes, so
 * that many clients can reconnect at a time.
 */
export class Passwords implements Authenticator {
  readonly name = "passwords";
  readonly #file: WatchedFiles<Users>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limiter: ConcurrencyLimiter;
  /** The checks of each address that are under way. */
  readonly #shares = new FairShares();
  readonly #logLimit: LogLimit<"failed">;
  /** Passwords are remembered as HMACs, with which nobody else can try guesses. */
  readonly #secret = randomBytes(32);
  readonly #remembered = new AnswerCache<true>(MAX_REMEMBERED);
  /** The checks that are under way: many connections of one client cost one. */
  readonly #underWay = new Map<string, Check>();
  readonly #nobody: PasswordHash = impossibleHash();

  private constructor(file: WatchedFiles<Users>, { clock, log }: PasswordsOptions) {
    this.#file = file;
    this.#clock = clock;
    this.#log = log;
    this.#limiter = new ConcurrencyLimiter(clock, MAX_HASHING, Number.POSITIVE_INFINITY);
    this.#logLimit = new LogLimit(clock, LOG_INTERVAL_MS);
  }

  /** @throws FileFault if the file can't be read or used. */
  static async open(options: PasswordsOptions): Promise<Passwords> {
    const file = await WatchedFiles.openOne(options.file, readUsers, options.log);
    return new Passwords(file, options);
  }

  async authenticate(request: AccessRequest): Promise<Identity | AccessRefusal | undefined> {
    const { credentials, address, addressGroup = address, left } = request;
    if (credentials.kind !== "basic") return undefined;
    const { user: name, password } = credentials;
    if (name.length > MAX_USER_LENGTH || password.length > MAX_PASSWORD_LENGTH) return WRONG;
    const user = this.#file.value.byName.get(name);
    const key = this.#hmac(JSON.stringify([name, password, user?.hashText ?? ""])).toString("hex");
    if (user !== undefined && this.#remembered.get(key, this.#clock.nowMs())) return user.identity;
    const hash = user?.hash ?? this.#hashOfNobody(name);
    const isRight = await this.#check(addressGroup, key, password, hash, left);
    if (typeof isRight !== "boolean") return isRight;
    // The file may have changed meanwhile: what it says now counts.
    const now = this.#file.value.byName.get(name);
    if (now?.hashText !== user?.hashText) return await this.authenticate(request);
    if (!isRight || now === undefined) return WRONG;
    const nowMs = this.#clock.nowMs();
    this.#remembered.set(key, true, nowMs + REMEMBERED_MS, nowMs);
    return now.identity;
  }

  /** A client whose user is gone, or has another password, is not let in any more. */
  recheck({ credential = "" }: Identity): Identity | AccessRefusal {
    return this.#file.value.byCredential.get(credential) ?? WRONG;
  }

  start(changed: () => void = () => {}): void {
    this.#file.start(changed);
  }

  stop(): void {
    this.#file.stop();
  }

  async #check(
    addressGroup: string,
    key: string,
    password: string,
    hash: PasswordHash,
    left: AbortSignal | undefined,
  ): Promise<boolean | AccessRefusal> {
    let check = this.#underWay.get(key);
    if (check === undefined) {
      // One address must not keep the clients of others waiting.
      if (!this.#shares.mayTake(addressGroup, MAX_WAITING - this.#limiter.waiting)) return BUSY;
      check = this.#begin(addressGroup, key, password, hash);
    }
    const gone = Promise.withResolvers<AccessRefusal>();
    const leave = (): void => gone.resolve(GONE);
    check.waiting++;
    left?.addEventListener("abort", leave);
    if (left?.aborted) leave();
    try {
      return await Promise.race([gone.promise, check.isRight]);
    } catch (error) {
      this.#failed(error);
      return FAILED;
    } finally {
      left?.removeEventListener("abort", leave);
      check.waiting--;
      if (check.waiting === 0) check.cancel();
    }
  }

  #begin(addressGroup: string, key: string, password: string, hash: PasswordHash): Check {
    const cancelling = new AbortController();
    this.#shares.take(addressGroup);
    const forget = (): void => {
      if (this.#underWay.get(key) === check) this.#underWay.delete(key);
    };
    const isRight = this.#hashed(password, hash, cancelling.signal).finally(() => {
      forget();
      this.#shares.give(addressGroup);
    });
    const check: Check = {
      isRight,
      waiting: 0,
      cancel: () => {
        forget();
        cancelling.abort();
      },
    };
    this.#underWay.set(key, check);
    return check;
  }

  /** @param cancelled ends the wait for a turn. Then nobody takes the result. */
  async #hashed(password: string, hash: PasswordHash, cancelled: AbortSignal): Promise<boolean> {
    const give = await this.#limiter.take(cancelled);
    try {
      return !cancelled.aborted && (await hasPassword(password, hash));
    } finally {
      give();
    }
  }

  /** The time that a user's check takes must not tell whether there is such a user: takes the parameters of another one. */
  #hashOfNobody(name: string): PasswordHash {
    const { all } = this.#file.value;
    const index = this.#hmac(name).readUInt32BE() % Math.max(1, all.length);
    const { salt, hash } = this.#nobody;
    return { ...(all[index]?.hash ?? this.#nobody), salt, hash };
  }

  #hmac(text: string): Buffer {
    return createHmac("sha256", this.#secret).update(text).digest();
  }

  #failed(error: unknown): void {
    const others = this.#logLimit.othersBefore("failed");
    if (others === undefined) return;
    const properties = { event: "password_check_failed", reason: reasonOf(error), others };
    this.#log.error("Cannot check a password: {reason}", properties);
  }
}

/** @throws FileFault */
function readUsers(text: string): Users {
  const byName = new Map<string, User>();
  const byCredential = new Map<string, Identity>();
  for (const [index, entry] of readEntries(text).entries()) {
    const at = `[${index}]`;
    const { user, password_hash: hashText, sub = user, authorization_details, ...others } = entry;
    expectNoOthers(others, at);
    if (!isUserName(user)) {
      throw new FileFault(
        `has ${at}.user, which must be a text of 1 to ${MAX_USER_LENGTH} characters without a colon`,
      );
    }
    if (byName.has(user)) throw new FileFault(`has the user of ${at} twice`);
    if (typeof hashText !== "string") throw new FileFault(`has no ${at}.password_hash`);
    const hash = parsePasswordHash(hashText);
    if (typeof hash === "string") throw new FileFault(`has ${at}.password_hash, which ${hash}`);
    const credential = JSON.stringify([user, hashText]);
    const claims = identityOf({ sub, authorization_details }, PASSWORDS_ISSUER, at);
    const identity = { ...claims, credential };
    byCredential.set(credential, identity);
    byName.set(user, { hash, hashText, identity });
  }
  return { byName, all: [...byName.values()], byCredential };
}

function isUserName(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length > 0 &&
    value.length <= MAX_USER_LENGTH &&
    !NOT_IN_USER.test(value)
  );
}
