/**
 * A host that has registered a provider of traces with OpenTelemetry's API, and mounts a gateway. It prints one line for
 * each fact; `mount.test.ts` runs it on each runtime.
 */
import process from "node:process";
import { trace } from "@opentelemetry/api";
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { createGateway } from "../../src/mod.ts";

const exporter = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
trace.setGlobalTracerProvider(provider);

const tell = (name: string, fact: unknown): void =>
  void process.stdout.write(`${JSON.stringify({ name, fact })}\n`);

const gateway = await createGateway({ subjects: ["program.>"] });
await gateway.start();
const events = await gateway.app.request("/ws/sse");
const reader = events.body!.getReader();
gateway.publish("program.x", "1");
const posted = await gateway.app.request("/publish/program.x", {
  method: "POST",
  body: "2",
  headers: { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
});
tell("posted", posted.status);
const decoder = new TextDecoder();
for (let text = ""; !text.includes('"payload":2'); ) {
  text += decoder.decode((await reader.read()).value);
}
await reader.cancel();
await gateway.stop();
await provider.forceFlush();
const spans = exporter.getFinishedSpans();
const nameOf = (id: string | undefined): string | undefined =>
  spans.find((span) => span.spanContext().spanId === id)?.name ?? id;
tell(
  "spans",
  spans.map((span) => `${span.name} < ${nameOf(span.parentSpanContext?.spanId)}`).sort(),
);
