/**
 * deploy/Dockerfile, without Docker: its steps run here, in a folder that has what .dockerignore lets through, with Bun on
 * the PATH. The file system that they make is the root of the program, read-only and not as root, as containers have it.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ensureHadolint } from "../../scripts/install-hadolint.ts";
import { ROOT } from "../../scripts/installed.ts";
import { untilReady } from "../contract/support/gateway-fixture.ts";
import { sizeOf } from "../install/environment.ts";
import { startProcess } from "../support/child-process.ts";
import { within } from "../support/event-log.ts";
import { freePort } from "../support/free-port.ts";
import { runToExit, startGateway } from "../support/gateway-process.ts";
import { connectLasting, flushed } from "../support/nats-connection.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { TARGETS, type Target } from "../support/runtimes.ts";
import { openV1 } from "../support/v1-client.ts";
import { readDockerfile, textsOf } from "./dockerfile.ts";

setDefaultTimeout(300_000);

const FILE = `${ROOT}deploy/Dockerfile`;
const dockerfile = readFileSync(FILE, "utf8");
const [build = [], image = []] = readDockerfile(dockerfile);

const hadolint = ensureHadolint();
if (hadolint === undefined) process.stderr.write("Skipped: hadolint, as pip can't install it\n");

test.skipIf(hadolint === undefined)("hadolint finds nothing", () => {
  const lint = (input: string) =>
    spawnSync(hadolint!, ["--no-color", "-"], { input, encoding: "utf8" });
  expect(lint(dockerfile)).toMatchObject({ status: 0, stdout: "" });
  expect(lint("FROM debian\nRUN cd /tmp").status).toBe(1);
});

test("The image has the Bun that the tests run on", () => {
  expect(textsOf(build, "ARG")).toEqual([`BUN_VERSION=${Bun.version}`]);
  expect(textsOf(build, "FROM")).toEqual([`oven/bun:\${BUN_VERSION}-debian AS build`]);
});

/** The reason why the image can't be tried here; `undefined` if it can. */
function whyNot(): string | undefined {
  if (process.platform !== "linux") return "it is an image for Linux";
  if (process.getuid?.() !== 0) return "only root may change its root folder";
  const args = ["--mount", "--pid", "--fork", "true"];
  const { status, stderr, error } = spawnSync("unshare", args, { encoding: "utf8" });
  return status === 0 ? undefined : `unshare fails: ${error?.message ?? stderr.trim()}`;
}

const reason = whyNot();
if (reason !== undefined)
  process.stderr.write(`Skipped: the image of deploy/Dockerfile, as ${reason}\n`);

describe.skipIf(reason !== undefined)("The image of deploy/Dockerfile", () => {
  const directory = mkdtempSync(join(tmpdir(), "spillway-image-"));
  const root = join(directory, "image");
  /** Runs the entry point with arguments, as a container does. */
  const target: Target = {
    ...TARGETS.bun,
    command: () => [
      ...["unshare", "--mount", "--pid", "--fork", "--kill-child"],
      "sh",
      join(directory, "run.sh"),
      ...json(textsOf(image, "ENTRYPOINT")),
    ],
  };
  beforeAll(() => {
    runStage(directory);
    writeFileSync(join(directory, "run.sh"), runScript(root));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test("has less than 120 MB", () => {
    expect(sizeOf(root)).toBeLessThan(120_000_000);
  });

  test.each(["1", "2"])(
    "serves and drains with %s workers, not as root and with a read-only root",
    async (workers) => {
      const nats = await startNatsServer();
      const port = String(await freePort());
      const env = { NATS_URL: nats.url, PORT: port, SPILLWAY_WORKERS: workers };
      const gateway = await startGateway(target, { env });
      await untilReady(gateway);
      const { pid } = gateway;
      const [program] = childrenOf(pid);
      const status = readFileSync(`/proc/${program}/status`, "utf8");
      expect(status).toMatch(/^NSpid:\t\d+\t1$/m);
      expect(status).toMatch(/^Name:\tspillway$/m);
      expect(status).toMatch(/^Uid:\t65532\t65532\t65532\t65532$/m);
      expect(status).toMatch(/^CapEff:\t0+$/m);
      const mounts = readFileSync(`/proc/${program}/mounts`, "utf8");
      expect(mounts).toMatch(/^\S+ \/ \S+ ro,/m);

      const [check = ""] = textsOf(image, "HEALTHCHECK");
      const [, command, ...args] = json([check.replace(/^.* CMD /, "")]);
      const health = () => runToExit(target, { env, command: [command!], args });
      expect(await health()).toMatchObject({ code: 0, stdout: "ready\n" });

      const client = await openV1(gateway.wsUrl);
      await client.subscribe("1", ["orders.>"]);
      const publisher = await connectLasting(nats.url);
      publisher.publish("orders.1", "1");
      await flushed(publisher);
      expect(await client.next("data")).toMatchObject({ subject: "orders.1", payload: 1 });
      await publisher.close();
      process.kill(program!, textsOf(image, "STOPSIGNAL")[0]);
      expect((await client.closed()).code).toBe(1001);
      expect(await gateway.exited).toEqual({ code: 0, signal: null });
      expect(await health()).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("not ready"),
      });
      await nats.stop();
    },
  );

  test("ends on a signal while it starts, although it is process 1", async () => {
    const pipe = join(root, "tmp/spillway.json");
    spawnSync("mkfifo", ["--mode=644", pipe]);
    const env = { ...process.env, SPILLWAY_CONFIG: "/tmp/spillway.json" };
    const started = await startProcess("gateway that starts", target.command(), { env });
    // It is opened when the other end is: the program waits for its configuration.
    const writer = await within(open(pipe, "w"), "a reader of the configuration");
    const [program] = childrenOf(started.pid);
    process.kill(program!, "SIGTERM");
    const exit = await within(started.exited, "the end of the process");
    await writer.close();
    expect(exit).toEqual({ code: 143, signal: null });
  });
});

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
}

/** Runs the steps of the first stage. Absolute paths are below `directory`. */
function runStage(directory: string): void {
  const context = join(directory, "context");
  const allowed = readFileSync(`${ROOT}.dockerignore`, "utf8").matchAll(/^!(.*)$/gm);
  for (const [, path] of allowed) copy(path!, ROOT, context);
  const bin = join(directory, "bin");
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, "bun"));
  let cwd = directory;
  for (const { name, text } of build) {
    const words = text.split(" ");
    if (name === "WORKDIR") {
      cwd = join(directory, text);
      mkdirSync(cwd, { recursive: true });
    } else if (name === "COPY") {
      const to = words.pop()!;
      for (const from of words) copy(from, context, cwd, to === "./" ? from : to);
    } else if (name === "RUN") {
      const command = text.replaceAll(" /image", ` ${join(directory, "image")}`);
      const env = { ...process.env, PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin` };
      const { status, stderr } = spawnSync("sh", ["-c", command], { cwd, env, encoding: "utf8" });
      if (status !== 0) throw new Error(`RUN ${command}: exit code ${status}: ${stderr}`);
    } else if (name !== "ARG" && name !== "FROM") {
      throw new Error(`This test doesn't know what ${name} does`);
    }
  }
}

function copy(path: string, from: string, to: string, as = path): void {
  mkdirSync(dirname(join(to, as)), { recursive: true });
  cpSync(join(from, path), join(to, as), { recursive: true });
}

/** Makes the root read-only, and runs the program in it as the image says. */
function runScript(root: string): string {
  const [user] = textsOf(image, "USER");
  const settings = textsOf(image, "ENV").join(" ");
  return `set -e
mount --make-rprivate /
mount --bind ${root} ${root}
mount -t proc proc ${root}/proc
mount --rbind /dev ${root}/dev
mount -o remount,bind,ro ${root}
cd /
exec env -u PATH -u HOME ${settings} "$(command -v chroot)" --userspec=${user} --groups= ${root} "$@"
`;
}

function json([text = "[]"]: readonly string[]): string[] {
  return JSON.parse(text) as string[];
}
