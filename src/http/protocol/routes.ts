import { Hono } from "hono";
import type { StatusReport } from "../status.ts";
import { asyncApi } from "./asyncapi.ts";
import { describeMessages } from "./messages.ts";

/** The media type that the AsyncAPI specification names for its documents. */
const CONTENT_TYPE = "application/vnd.aai.asyncapi+json;version=3.0.0";

/** `GET /asyncapi.json`: the wire protocol, for machines. */
export function protocolRoutes(
  { path }: { readonly path: string },
  report: Pick<StatusReport, "meta">,
): Hono {
  // Made at the first request and kept: nothing is fanned out in the milliseconds that it takes.
  let messages: object | undefined;
  let last: { readonly base: string; readonly text: string } | undefined;
  return new Hono().get("/asyncapi.json", (c) => {
    const base = new URL(".", c.req.url);
    if (last?.base !== base.href) {
      messages ??= describeMessages();
      const { version } = report.meta();
      const document = asyncApi({ title: "Spillway", version, path, base, messages });
      last = { base: base.href, text: JSON.stringify(document, null, 2) };
    }
    return c.body(last.text, 200, { "Content-Type": CONTENT_TYPE });
  });
}
