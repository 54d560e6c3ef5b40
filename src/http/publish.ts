import { zValidator } from "@hono/zod-validator";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import type { Publisher } from "../core/source.ts";
import { carries, subjectFault } from "../core/subject.ts";
import { isAllowedOrigin } from "./origin.ts";
import { problem } from "./problem.ts";

export interface PublishOptions {
  /** What the gateway carries: publishing anything else would vanish in silence. */
  readonly subjects: readonly string[];
  readonly allowedOrigins: readonly string[];
  readonly maxBytes: number;
}

const subjectParameter = z.object({
  subject: z.string().superRefine((subject, context) => {
    const fault = subjectFault(subject, false);
    if (fault !== undefined) {
      context.addIssue({ code: "custom", message: `subject "${subject}" ${fault}` });
    }
  }),
});

/** `POST /publish/<subject>`: the body, byte for byte, becomes a message of the in-memory source. */
export function publishRoutes(options: PublishOptions, publisher: Publisher): Hono {
  return new Hono().post(
    "/publish/:subject",
    async (c, next) => {
      if (!isAllowedOrigin(c.req.header("origin"), c.req.header("host"), options.allowedOrigins)) {
        return problem(c, 403, "This origin is not in allowed_origins");
      }
      return await next();
    },
    zValidator("param", subjectParameter, (result, c) => {
      if (!result.success) return problem(c, 400, result.error.issues[0]?.message ?? "bad subject");
    }),
    bodyLimit({
      maxSize: options.maxBytes,
      onError: (c) => problem(c, 413, `A message may have ${options.maxBytes} bytes at most`),
    }),
    async (c) => {
      const { subject } = c.req.valid("param");
      if (!options.subjects.some((pattern) => carries(pattern, subject))) {
        return problem(
          c,
          400,
          `subject "${subject}" is carried by none of ${options.subjects.join(", ")}`,
        );
      }
      const data = new Uint8Array(await c.req.arrayBuffer());
      publisher.publish({ subject, data });
      return c.json({ subject, bytes: data.length }, 202);
    },
  );
}
