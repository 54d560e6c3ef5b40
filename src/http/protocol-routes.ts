import { Hono } from "hono";
import { asyncApi } from "./asyncapi.ts";
import type { ClientUrl } from "./client-url.ts";
import type { StatusReport } from "./status.ts";

/** The media type that the AsyncAPI specification names for its documents. */
const CONTENT_TYPE = "application/vnd.aai.asyncapi+json;version=3.0.0";

/**
 * `GET /asyncapi.json`: the wire protocol, for machines.
 *
 * @param clients where clients connect, if that is not where the document is asked for.
 */
export function protocolRoutes(
  { path, clients }: { readonly path: string; readonly clients?: ClientUrl | undefined },
  report: Pick<StatusReport, "meta">,
): Hono {
  // Kept for the address that it was last asked for at.
  let last: { readonly base: string; readonly text: string } | undefined;
  return new Hono().get("/asyncapi.json", (c) => {
    const base = new URL(".", clients === undefined ? c.req.url : clients(new URL(c.req.url)));
    if (last?.base !== base.href) {
      const document = asyncApi({ title: "Spillway", version: report.meta().version, path, base });
      last = { base: base.href, text: JSON.stringify(document, null, 2) };
    }
    return c.body(last.text, 200, { "Content-Type": CONTENT_TYPE });
  });
}
