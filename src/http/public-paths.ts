import type { Handler } from "hono";
import { problem } from "./problem.ts";

/** Paths that anybody may read: probes of load balancers and scripts of pages have no token. */
export const PUBLIC_PATHS = ["/livez", "/readyz", "/client.js"] as const;

/** Paths that only operators may read, if clients must show who they are. */
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
