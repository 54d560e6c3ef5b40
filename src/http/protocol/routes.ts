import { Hono } from "hono";
import type { StatusReport } from "../status.ts";
import { asyncApi } from "./asyncapi.ts";

/** The media type that the AsyncAPI specification names for its documents. */
const CONTENT_TYPE = "application/vnd.aai.asyncapi+json;version=3.0.0";

/** `GET /asyncapi.json`: the wire protocol, for machines. */
export function protocolRoutes(
  { path }: { readonly path: string },
  report: Pick<StatusReport, "meta">,
): Hono {
  return new Hono().get("/asyncapi.json", (c) => {
    const document = asyncApi({ title: "Spillway", version: report.meta().version, path });
    return c.body(JSON.stringify(document, null, 2), 200, { "Content-Type": CONTENT_TYPE });
  });
}
