/** A message of a client that would do more than publish itself, if the gateway or NATS read it in another way. */
export interface MessageRow {
  readonly name: string;
  /** The fields that differ from those of a good message. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The error's code; none if the message is served, and does nothing else. */
  readonly code?: "forbidden" | "invalid_subject" | "malformed" | "too_large";
  readonly message?: string;
}

const UNSAFE = "must not contain white space or control characters";
const EVIL = "a\r\nPUB hostile.evil 4\r\nevil\r\n";
const ID = (type: string) => `"${type}" needs an "id" of 1 to 128 characters`;

const invalid = (name: string, subject: string, why: string): MessageRow => ({
  name,
  fields: { subject },
  code: "invalid_subject",
  message: `subject ${JSON.stringify(subject.slice(0, 200))} ${why}`,
});
const reserved = (header: string): MessageRow => ({
  name: `the header ${header}`,
  fields: { headers: { [header]: ["1"] } },
  code: "forbidden",
  message: `a client may not set the header "${header}"`,
});
const malformedHeaders = (name: string, headers: unknown, message: string): MessageRow => ({
  name,
  fields: { headers },
  code: "malformed",
  message,
});
const NAME = "the name of a header is 1 to 256 of RFC 7230's tchar";
const VALUE = "the value of a header is a text without control characters";

/** Rows for messages of both kinds. @param type the kind. */
export function hostileMessages(type: "publish" | "request"): readonly MessageRow[] {
  const may = type === "publish" ? "publish" : "send requests";
  const forbidden = (subject: string): MessageRow => ({
    name: `the subject ${subject}`,
    fields: { subject },
    code: "forbidden",
    message: `this client may not ${may} to "${subject}"`,
  });
  return [
    ...["Nats-Msg-Id", "nats-msg-id", "NATS-ROLLUP", "Nats-Expected-Stream", "Nats-TTL"].map(
      reserved,
    ),
    ...["Nats-Service-Error", "Nats-", "Spillway-Sub", "sPILLWAY-iSSUER"].map(reserved),
    malformedHeaders("a header of NATS behind a space", { " Nats-Rollup": ["all"] }, NAME),
    malformedHeaders("a header of NATS before a space", { "Nats-Rollup ": ["all"] }, NAME),
    malformedHeaders("a header of NATS in a name", { "A\r\nNats-Rollup": ["all"] }, NAME),
    malformedHeaders("a header with a colon", { "A:B": ["1"] }, NAME),
    malformedHeaders("a header without a name", { "": ["1"] }, NAME),
    malformedHeaders("a header of NATS in a value", { A: ["1\r\nNats-Rollup: all"] }, VALUE),
    malformedHeaders("a value that ends the headers", { A: ["1\r\n\r\nevil"] }, VALUE),
    malformedHeaders("a value with a single LF", { A: ["1\nB: 2"] }, VALUE),
    malformedHeaders("a value with a single CR", { A: ["1\rB: 2"] }, VALUE),
    malformedHeaders("a value with NUL", { A: ["\0"] }, VALUE),
    malformedHeaders("a value with half a surrogate pair", { A: ["\ud800"] }, VALUE),
    malformedHeaders("a value that is no text", { A: [{ toString: 1 }] }, VALUE),
    malformedHeaders("headers in a list", [["A", "1"]], '"headers" is an object of lists of texts'),
    malformedHeaders("65 values", { A: Array(65).fill("1") }, "there are at most 64 header values"),
    malformedHeaders(
      "headers of 17 kB",
      { A: ["x".repeat(17_000)] },
      "headers have at most 16384 characters",
    ),
    {
      name: "a header that looks like one of NATS in a value",
      fields: { headers: { A: ["Nats-Rollup: all"] } },
    },
    { name: "a header __proto__", fields: { headers: JSON.parse('{"__proto__":["1"]}') } },
    ...["reply", "reply_to", "replyTo", "Reply", "inbox", "queue"].map((field) => ({
      name: `the field ${field}`,
      fields: { [field]: "hostile.evil" },
    })),
    invalid("a wildcard", "hostile.*", "must not contain a wildcard"),
    invalid("a wildcard for the rest", "hostile.>", "must not contain a wildcard"),
    invalid("the subject >", ">", "must not contain a wildcard"),
    invalid("a reply subject behind the subject", "hostile.a hostile.evil", UNSAFE),
    invalid("CR LF in the subject", `hostile.${EVIL}`, UNSAFE),
    invalid("LF in the subject", "hostile.a\nb", UNSAFE),
    invalid("a tab in the subject", "hostile.a\tb", UNSAFE),
    invalid("NUL in the subject", "hostile.\0", UNSAFE),
    invalid("an empty token", "hostile..a", "must not contain an empty token"),
    invalid("a dot at the end", "hostile.a.", "must not contain an empty token"),
    invalid("half a surrogate pair", "hostile.\udc00", "must not contain half a surrogate pair"),
    invalid(
      "a subject of 4 kB",
      `hostile.${"x".repeat(4000)}`,
      "must not be longer than 3072 bytes in UTF-8",
    ),
    invalid("70 tokens", `hostile${".a".repeat(69)}`, "must not have more than 64 tokens"),
    {
      name: "a subject in a list",
      fields: { subject: ["hostile.a"] },
      code: "invalid_subject",
      message: "a subject is a text",
    },
    forbidden("$SYS.REQ.SERVER.PING"),
    forbidden("$JS.API.STREAM.DELETE.ORDERS"),
    forbidden("$JS.ACK.ORDERS.a.1.1.1.1.1"),
    forbidden("$KV.bucket.key"),
    forbidden("_INBOX.a"),
    forbidden("_SPILLWAY.durable.ORDERS.a"),
    forbidden("HOSTILE.a"),
    { name: "CR LF in the id", fields: { id: EVIL } },
    { name: "half a surrogate pair in the id", fields: { id: "\ud800" } },
    { name: "an id of 128 characters", fields: { id: "\u20ac".repeat(128) } },
    ...["", "x".repeat(129), "x".repeat(40_000), 1, {}, null, undefined].map(
      (id): MessageRow => ({
        name: `the id ${(JSON.stringify(id) ?? "undefined").slice(0, 20)} of ${String(id).length}`,
        fields: { id },
        code: "malformed",
        message: ID(type),
      }),
    ),
    {
      name: "base64 that is none",
      fields: { encoding: "base64", payload: "\r\n" },
      code: "malformed",
      message: 'with "encoding":"base64", "payload" is a string of RFC 4648, section 4',
    },
    ...(type === "request" ? [0, -1, 1.5, "1", null, true] : []).map(
      (timeout_ms): MessageRow => ({
        name: `timeout_ms ${JSON.stringify(timeout_ms)}`,
        fields: { timeout_ms },
        code: "malformed",
        message: '"timeout_ms" is a whole number of milliseconds, from 1',
      }),
    ),
  ];
}
