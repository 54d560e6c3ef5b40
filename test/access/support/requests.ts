import type { AccessRequest } from "../../../src/access/authenticator.ts";

const others = { address: "192.0.2.1", headers: new Headers() };

export const WITH_NOTHING: AccessRequest = { credentials: { kind: "none" }, ...others };

export function withToken(token: string): AccessRequest {
  return { credentials: { kind: "token", token, place: "authorization" }, ...others };
}

export function withPassword(user: string, password: string): AccessRequest {
  return { credentials: { kind: "basic", user, password }, ...others };
}
