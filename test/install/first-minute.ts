/**
 * `npm run test:install`: what a newcomer does first, on each runtime, on a machine that has nothing else.
 * Each environment is empty (no variables, a new home, a PATH with that runtime, a shell and git) but for
 * `nats-server` and the browser, which "All tests" needs, and the package managers' caches of downloads.
 *
 * All tests run once, in CI's own environment. Here `npm test` prepares all of them and then runs one file. The runner
 * runs each `describe` in a process of its own (see `test/runner/jobs.ts`).
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startPermissions } from "../../scripts/executables.ts";
import { freePort } from "../support/free-port.ts";
import {
  type Environment,
  INSTALL_DEADLINE_MS,
  Machines,
  type Packed,
  type PROGRAMS,
  pack,
  sizeOf,
} from "./environment.ts";

const MB = 1_000_000;

setDefaultTimeout(2 * INSTALL_DEADLINE_MS);

const machines = new Machines();
beforeAll(() => machines.create());
afterAll(() => machines.remove());

const on = (name: keyof typeof PROGRAMS): Environment => machines.on(name);

/** What git sees as changed. The npm of Node 20 and 22 leaves out of the lockfile what only later ones know. */
function changesOf(machine: Environment, clone: string): Promise<string> {
  return machine.run(clone, "git status --porcelain -- . ':!package-lock.json'");
}

/** Starts what serves, and stops it: the signal goes to the command, and must reach the service. */
async function startsAndStops(
  machine: Environment,
  cwd: string,
  command: string,
  group = false,
): Promise<void> {
  const { lines, stop, exited } = await machine.serve(cwd, command, group);
  const stopping = stop();
  await lines.find(({ text }) => text.includes('"event":"stopped"'), "stopped");
  await stopping;
  await exited;
}

interface Commands {
  readonly install: string;
  readonly start: string;
  readonly test: string;
  /** Deno's install knows no libc, and brings the linter twice. */
  readonly largest: number;
}

const NPM: Commands = {
  install: "npm install",
  start: "npm start -- --port 0",
  test: "npm test -- test/core/subject/subject.test.ts",
  largest: 250 * MB,
};

describe.each<[keyof typeof PROGRAMS, Commands]>([
  ["Node 20", NPM],
  ["Node 22", NPM],
  [
    "only Bun",
    {
      install: "bun install",
      start: "bun run start --port 0",
      test: "bun run test test/core/subject/subject.test.ts",
      largest: 250 * MB,
    },
  ],
  [
    "only Deno",
    {
      install: "deno install",
      start: "deno task start --port 0",
      test: "deno task test test/core/subject/subject.test.ts",
      largest: 300 * MB,
    },
  ],
])("On a machine with %s", (name, commands) => {
  let clone: string;
  beforeAll(() => {
    clone = on(name).clone("clone");
  });

  test(`${commands.install} brings at most ${commands.largest / MB} MB and leaves the clone clean`, async () => {
    await on(name).run(clone, commands.install);
    expect(sizeOf(join(clone, "node_modules"))).toBeLessThan(commands.largest);
    expect(await changesOf(on(name), clone)).toBe("");
  });

  test(`${commands.start} serves a message`, async () => {
    await startsAndStops(on(name), clone, commands.start);
  });

  test("all tests can run", async () => {
    const output = await on(name).run(clone, commands.test);
    expect(output).toMatch(/^[1-9]\d* passed, 0 failed$/m);
    expect(await changesOf(on(name), clone)).toBe("");
  });
});

describe("What runs the service and no more", () => {
  test.each<[keyof typeof PROGRAMS, string, string]>([
    ["Node 22", "npm install --omit=dev --ignore-scripts", NPM.start],
    ["the newest Node", "npm install --omit=dev", NPM.start],
    ["only Bun", "bun install --production", "bun run start --port 0"],
  ])("is at most 25 MB on %s", async (name, install, start) => {
    const clone = on(name).clone("production");
    await on(name).run(clone, install);
    expect(sizeOf(join(clone, "node_modules"))).toBeLessThan(25 * MB);
    await startsAndStops(on(name), clone, start);
  });

  test("comes without install scripts on Node 22", async () => {
    const clone = on("Node 22").clone("no-scripts");
    await on("Node 22").run(clone, "npm install --ignore-scripts");
    await startsAndStops(on("Node 22"), clone, NPM.start);
  });
});

describe("The package from a registry or a file", () => {
  let packed: Packed;
  const fromRegistry: Packed["fromRegistry"] = (command) => packed.fromRegistry(command);
  beforeAll(async () => {
    packed = await pack(on("Node 22"));
  });
  afterAll(() => packed?.registry.stop());

  test("runs by npx, from its file and from a registry", async () => {
    const node22 = on("Node 22");
    const fromFile = `npx --yes --package=${packed.tarball} spillway --port 0`;
    await startsAndStops(node22, node22.folder("npx-file"), fromFile, true);
    const command = fromRegistry("npx --yes spillway --port 0");
    await startsAndStops(node22, node22.folder("npx"), command, true);
  });

  test("runs by bunx, from its file and from a registry", async () => {
    const bun = on("only Bun");
    await startsAndStops(bun, bun.folder("bunx-file"), `bunx spillway@${packed.tarball} --port 0`);
    await startsAndStops(bun, bun.folder("bunx"), fromRegistry("bunx spillway --port 0"));
  });

  test("runs by deno run from a registry, with the permissions of deno task start", async () => {
    const deno = on("only Deno");
    const command = `deno run --no-prompt ${startPermissions().join(" ")} npm:spillway --port 0`;
    await startsAndStops(deno, deno.folder("deno-run"), fromRegistry(command));
  });

  test.each<[keyof typeof PROGRAMS, string]>([
    ["Node 22", "npx --yes spillway"],
    ["only Bun", "bunx spillway"],
    ["only Deno", `deno run --no-prompt ${startPermissions().join(" ")} npm:spillway`],
  ])("has commands on %s", async (name, program) => {
    const machine = on(name);
    const folder = machine.folder("commands");
    expect(await machine.run(folder, fromRegistry(`${program} --help`))).toContain("healthcheck");
    const port = await freePort();
    const health = fromRegistry(`${program} healthcheck --port ${port}`);
    expect(await machine.tryRun(folder, health)).toMatchObject({ code: 1 });
    const serve = fromRegistry(`${program} serve --port ${port}`);
    const served = await machine.serve(folder, serve, true);
    expect(await machine.run(folder, health)).toMatch(/^ready$/m);
    await served.stop();
    expect(await machine.run(folder, fromRegistry(`${program} check --port 9000`))).toContain(
      "The configuration is valid.",
    );
    const { code, output } = await machine.tryRun(folder, fromRegistry(`${program} chek`));
    expect({ code, output }).toMatchObject({
      code: 1,
      output: expect.stringContaining('"check"?'),
    });
  });

  test("says on Node 20 in one sentence what to do", async () => {
    const node20 = on("Node 20");
    const { code, output } = await node20.tryRun(
      node20.folder("npx"),
      `npx --yes --package=${packed.tarball} spillway`,
    );
    expect(code).toBe(1);
    expect(output).toContain(
      "Spillway needs Node 22 or newer, Bun or Deno, and this is Node 20.18.1; install one of them",
    );
  });

  test.each<[keyof typeof PROGRAMS, string, string]>([
    ["Node 22", "npm install", "node node_modules/spillway/examples/node.js"],
    ["only Bun", "bun install", "bun run node_modules/spillway/examples/bun.js"],
    [
      "only Deno",
      "deno install",
      "deno run --allow-net --allow-env --allow-read node_modules/spillway/examples/deno.js",
    ],
  ])("has an example that runs from the package on %s", async (name, install, command) => {
    const machine = on(name);
    const folder = machine.folder("example");
    writeFileSync(join(folder, "package.json"), '{"dependencies":{"spillway":"*"}}');
    await machine.run(folder, fromRegistry(install));
    const host = await machine.start(folder, `env PORT=0 ${command}`);
    const { text } = await host.lines.find(({ text }) => text.startsWith("Listening on "));
    const { origin } = new URL(text.replace("Listening on ", ""));
    expect(await (await fetch(origin)).text()).toBe("the host's own page");
    expect((await fetch(`${origin}/live/livez`)).status).toBe(200);
    expect(await host.stop()).toEqual({ code: 0, signal: null });
  });
});

describe("The package, installed from git,", () => {
  test("is built", async () => {
    const node22 = on("Node 22");
    const folder = node22.folder("from-git");
    await node22.run(folder, `npm install git+${machines.originUrl}`);
    await startsAndStops(node22, folder, "npx spillway --port 0", true);
  });
});
