import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startProcess } from "../support/child-process.ts";
import { within } from "../support/journal.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

let nats: NatsServer;
beforeAll(async () => {
  nats = await startNatsServer();
});
afterAll(() => nats.stop());

const STORY = [
  ["healthy before the start", false],
  ["round 1 heard", "round 1"],
  ["round 1 healthy", true],
  ["round 1 closed with", 1001],
  ["round 1 port is free", true],
  ["round 2 heard", "round 2"],
  ["round 2 healthy", true],
  ["round 2 closed with", 1001],
  ["round 2 port is free", true],
  ["healthy after the stop", false],
  ["components on one registry", ["injected", "embedded"]],
  ["injected heard", "injected"],
  ["taken port", ["transient", "LISTEN_FAILED", false, true]],
  ["injected connection is closed", false],
  ["from a flow file", "from-flow"],
  ["end", true],
];

describe.each(["bun", "deno", "node22", "node"] as const)("Library on %s", (name) => {
  test("starts, restarts, stops, shares what it is given, and leaves nothing that keeps the process", async () => {
    // The same permissions as the command has, and the story instead of the server.
    const command = TARGETS[name]
      .command()
      .map((word) => (word === "src/server.ts" ? "test/gateway/library-story.ts" : word));
    const environment = { PATH: process.env.PATH ?? "", STORY_NATS_URL: nats.url };
    const story = await startProcess(name, command, { cwd: ROOT, env: environment });
    const exit = await within(story.exited, "end of the story", 30_000);
    const told = story.lines.entries.map(({ stream, text }) => {
      if (stream === "stderr") return text;
      const { name, fact } = JSON.parse(text);
      return [name, fact];
    });
    expect(told).toEqual(STORY);
    expect(exit).toEqual({ code: 0, signal: null });
  });
});
