import type { Handler } from "hono";
import { problem } from "./problem.ts";

/** What anybody may read: probes of load balancers have no token. */
export const PUBLIC_PATHS = ["/livez", "/readyz"] as const;

/** What only operators may read, if clients must show who they are. */
export const OPERATORS_PATHS = [
  "/healthz",
  "/metrics",
  "/schema.json",
  "/asyncapi.json",
  "/",
] as const;

/** Answers a request for one of {@linkcode OPERATORS_PATHS} on the port of the clients. */
export const notPublic: Handler = (c) =>
  problem(c, 403, "This page is for operators: it is not served here while clients need a token");
