import { Hono } from "hono";
import { CLIENT_SCRIPT, CLIENT_SCRIPT_HASH } from "./client-script.generated.ts";

const ETAG = `"${CLIENT_SCRIPT_HASH}"`;

/**
 * `GET /client.js`: `spillway/client` in one file, for `<script type="module">`. The script is a constant of the program,
 * so it is served from a single file too. Caches keep it for a year if `?v=` names the gateway's version, and ask each
 * time otherwise.
 */
export function clientScriptRoute(version: string): Hono {
  return new Hono().get("/client.js", (c) => {
    const isVersioned = c.req.query("v") === version;
    const headers = {
      ETag: ETAG,
      "Cache-Control": isVersioned ? "public, max-age=31536000, immutable" : "no-cache",
      "Spillway-Version": version,
    };
    if (hasScript(c.req.header("if-none-match"))) return c.body(null, 304, headers);
    return c.body(CLIENT_SCRIPT, 200, {
      ...headers,
      "Content-Type": "text/javascript; charset=utf-8",
      "X-Content-Type-Options": "nosniff",
    });
  });
}

/** Returns whether a cache has this script, by `If-None-Match` (RFC 9110 §13.1.2). */
function hasScript(ifNoneMatch = ""): boolean {
  const tags = ifNoneMatch.split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  return tags.includes(ETAG) || tags.includes("*");
}
