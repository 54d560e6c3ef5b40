// Answers in tokens, as a language model does. Try it: see README.md
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { connect, headers, nanos } from "nats";

const {
  NATS_URL = "nats://localhost:4222",
  PORT = "3001",
  GATEWAYS = "ws://localhost:8080/ws",
  TOKENS_PER_SECOND = "20",
} = process.env;
const HOUR_MS = 3_600_000;
const ANSWER = `A run has a subject of its own, and each of its tokens is a message of a stream. The page
  reads them from the first one on. If its connection is lost, it goes on after the last token that it has,
  at any gateway; if it is loaded again, it reads all of them again, and those to come. The last message
  of a run has a header, and so the page knows that the answer is complete.`;

const nats = await connect({ servers: NATS_URL });
// Runs are forgotten after an hour. nats-server 2.11 can forget each token by itself, and keep other messages longer.
const { config } = await (await nats.jetstreamManager()).streams.add({
  name: "RUNS",
  subjects: ["runs.*"],
  max_age: nanos(HOUR_MS),
  allow_msg_ttl: true,
});
const runs = new Map();
// A run is stopped by a message, and never because a page is gone: it may come back.
nats.subscribe("stop.*", {
  callback: (_, { subject }) => runs.get(subject.slice("stop.".length))?.abort(),
});

async function run(id) {
  const stopped = new AbortController();
  runs.set(id, stopped);
  const publish = (data, end) => {
    const made = headers();
    if (config.allow_msg_ttl) made.set("Nats-TTL", "1h");
    if (end) made.set("Spillway-End", end);
    return nats.jetstream().publish(`runs.${id}`, data, { headers: made });
  };
  for (const token of ANSWER.split(/\s+/)) {
    if (stopped.signal.aborted) break;
    await publish(JSON.stringify(`${token} `));
    await setTimeout(1000 / Number(TOKENS_PER_SECOND));
  }
  await publish("", stopped.signal.aborted ? "stopped" : "done");
  runs.delete(id);
}

const page = await readFile(new URL("page.html", import.meta.url), "utf8");
const client = new URL(".", import.meta.resolve("spillway/client"));

const server = createServer(async ({ method, url }, response) => {
  const [, module] = /^\/client\/([a-z-]+\.js)$/.exec(url ?? "") ?? [];
  if (method === "POST" && url === "/runs") {
    const id = randomUUID();
    run(id).catch((error) => process.stderr.write(`${error}\n`));
    response.end(id);
  } else if (module !== undefined) {
    response.setHeader("Content-Type", "text/javascript");
    response.end(await readFile(new URL(module, client)).catch(() => ""));
  } else {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(page.replace("GATEWAYS", JSON.stringify(GATEWAYS.split(","))));
  }
});
server.listen(Number(PORT), "localhost", () => {
  process.stdout.write(`Listening on http://localhost:${PORT}\n`);
});
process.once("SIGTERM", async () => {
  server.close();
  await nats.drain();
});
