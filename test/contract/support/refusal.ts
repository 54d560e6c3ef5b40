import { expect } from "bun:test";
import type { HandshakeResponse } from "../../support/raw-handshake.ts";
import type { Target } from "../../support/runtimes.ts";

/** What a refusal says (RFC 9457). */
export interface ProblemDetails {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
}

/** Checks a refused handshake, as far as the runtime lets its body through. */
export function expectRefusal(target: Target, response: HandshakeResponse, status: number): void {
  // Where it was let in after all, it must not stay.
  response.socket.destroy();
  expect(response.status).toBe(status);
  if (target.gaps.refusalBody === undefined) {
    expectProblem(status, response.headers.get("content-type"), response.body);
  } else {
    expect({ gap: target.gaps.refusalBody, body: response.body }).toEqual({
      gap: target.gaps.refusalBody,
      body: "",
    });
  }
}

/** Checks that a body is problem+json for this status, and returns it. */
export function expectProblem(
  status: number,
  contentType: string | null | undefined,
  body: string,
): ProblemDetails {
  expect(contentType).toBe("application/problem+json");
  const problem = JSON.parse(body) as ProblemDetails;
  // A copy: Bun writes matchers into what they match.
  expect({ ...problem }).toMatchObject({
    status,
    title: expect.any(String),
    detail: expect.any(String),
  });
  return problem;
}
