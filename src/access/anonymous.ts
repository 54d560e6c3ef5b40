import { ANONYMOUS } from "../core/access/grant.ts";
import type { AccessRequest, Authenticator, Identity } from "./authenticator.ts";
import type { Permissions } from "./permissions.ts";

/** Lets clients in that show nothing. They are one principal together. */
export class AnonymousAuthenticator implements Authenticator {
  readonly name = "anonymous";
  readonly #identity: Identity;

  constructor(permissions: Permissions) {
    this.#identity = { principal: ANONYMOUS, permissions };
  }

  async authenticate({ credentials }: AccessRequest): Promise<Identity | undefined> {
    return credentials.kind === "none" ? this.#identity : undefined;
  }

  recheck(): Identity {
    return this.#identity;
  }
}
