import { describe, expect, test } from "bun:test";
import * as api from "@opentelemetry/api";
import {
  headerOf,
  headersOf,
  parentIn,
  sampledParentIn,
} from "../../src/telemetry/trace-context.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

function parentOf(traceparent: string, tracestate?: string): api.SpanContext | undefined {
  const headers: [string, string[]][] = [
    ["Other", ["x"]],
    ["TraceParent", [traceparent]],
  ];
  if (tracestate !== undefined) headers.push(["tracestate", [tracestate]]);
  const parent = parentIn(headerOf(headers), api);
  return parent && api.trace.getSpanContext(parent);
}

describe("W3C Trace Context", () => {
  test("is read whatever the case of the header's name", () => {
    const parent = parentOf(`00-${TRACE}-${SPAN}-01`, "a=1,b=2");
    expect(parent).toMatchObject({ traceId: TRACE, spanId: SPAN, traceFlags: 1, isRemote: true });
    expect(parent?.traceState?.get("b")).toBe("2");
    expect(parentOf(`00-${TRACE}-${SPAN}-02`)?.traceFlags).toBe(0);
    expect(parentOf(`cc-${TRACE}-${SPAN}-01-later`)).toMatchObject({ traceId: TRACE });
  });

  test.each([
    "",
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}`,
  ])("%j continues nothing", (text) => {
    expect(parentOf(text)).toBeUndefined();
  });

  test.each([
    ["01", true],
    ["00", false],
    ["02", false],
    ["ff", true],
  ])("is recorded with the flags %s: %j", (flags, isSampled) => {
    const headers = headerOf([["traceparent", [`00-${TRACE}-${SPAN}-${flags}`]]]);
    expect(sampledParentIn(headers, api) !== undefined).toBe(isSampled);
    expect(sampledParentIn(headerOf([]), api)).toBeUndefined();
    expect(sampledParentIn(headerOf([["traceparent", ["1"]]]), api)).toBeUndefined();
  });

  test("is written, with the state", () => {
    const traceState = api.createTraceState("a=1");
    const context = { traceId: TRACE, spanId: SPAN, traceFlags: 1, traceState };
    expect([...headersOf(context)]).toEqual([
      ["traceparent", [`00-${TRACE}-${SPAN}-01`]],
      ["tracestate", ["a=1"]],
    ]);
    expect(headersOf({ ...context, traceId: api.INVALID_TRACEID }).size).toBe(0);
  });
});
