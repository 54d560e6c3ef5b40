import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findOldestNatsServer } from "../../scripts/install-nats-server.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** One process of `bun test`. */
export interface Job {
  readonly name: string;
  readonly files: readonly string[];
  /** More arguments of `bun test`. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Whether nothing else may run meanwhile. */
  readonly alone: boolean;
}

/** Files that measure memory or delays, which other processes would disturb. */
const ALONE = [
  "test/audit/audit.test.ts",
  "test/contract/total-queue-bound.test.ts",
  "test/contract/under-attack.test.ts",
  "test/streams/many-clients.test.ts",
];

/** Files that only `npm run test:slow` runs. */
const SLOW = [
  "test/audit/audit.test.ts",
  "test/contract/nats-faults.test.ts",
  "test/deploy/manifests.test.ts",
  "test/contract/under-attack.test.ts",
  "test/react-native/react-native.test.ts",
  "test/site/site.test.ts",
];

/**
 * What depends most on the version of Node. The other themes run on Node 22 in `npm run test:slow`: they take
 * the same way through our code as on the newest Node, on which `npm test` runs them all.
 */
const FAST_ON_NODE22 = [
  "bad-input",
  "handshake",
  "http",
  "keepalive",
  "lifecycle",
  "streaming",
].map((theme) => `test/contract/${theme}.test.ts`);
const NODE22 = ["-t", "Contract on node22 "];
const NOT_NODE22 = ["-t", "Contract on (?!node22 )"];

/** Files about streams, which `npm run test:slow` also runs with the oldest supported `nats-server`. */
const WITH_OLDEST_SERVER = [
  "ends",
  "jetstream-refusals",
  "odd-messages",
  "presence",
  "stream-faults",
  "stream-subjects",
  "streams",
].map((theme) => `test/contract/${theme}.test.ts`);

/** Property tests that find rare faults only in many runs, with the runs of `npm run test:slow`. */
const WITH_MANY_RUNS = [
  ["test/core/acks/at-least-once-model.test.ts", 10_000],
  ["test/core/acks/delivery.test.ts", 5_000],
  ["test/core/presence/presence-model.test.ts", 5_000],
] as const;

/** Files that take longest although others are larger: they begin first. */
const LONGEST = [
  ...["lifecycle", "access", "configuration", "nats-away", "jetstream-refusals", "at-least-once"],
  ...["event-stream", "streaming"],
].map((theme) => `test/contract/${theme}.test.ts`);

/** All files that the lists above name. */
export const NAMED_FILES = new Set([
  ...ALONE,
  ...SLOW,
  ...FAST_ON_NODE22,
  ...WITH_OLDEST_SERVER,
  ...LONGEST,
  ...WITH_MANY_RUNS.map(([file]) => file),
]);

/** The parts of `test/install/first-minute.ts`, which run side by side: each is the name of a `describe`. */
const INSTALLS = [
  "The package, installed from git,",
  "On a machine with Node 20",
  "On a machine with Node 22",
  "The package from a registry or a file",
  "On a machine with only Bun",
  "On a machine with only Deno",
  "What runs the service and no more",
];

/** Folders whose files take long, so that each is a job. The files of any other folder are one job. */
const ONE_JOB_PER_FILE = /^test\/(?:audit|browser|contract|streams)\//;

/** The jobs of `npm test`, or of `npm run test:slow`. */
export function allJobs(slow: boolean): Job[] {
  const files = testFiles();
  const always = files.filter((file) => !SLOW.includes(file));
  if (!slow)
    return jobsOf(always).map((job) => (isSplit(job) ? { ...job, args: NOT_NODE22 } : job));
  const onNode22 = jobsOf(always)
    .filter(isSplit)
    .map((job) => ({ ...job, name: `${job.name} on node22`, args: NODE22 }));
  // The longest ones first, so that others run beside them until the end.
  const slowest = files.filter((file) => SLOW.includes(file));
  return [...jobsOf(slowest), ...manyRunsJobs(), ...onNode22, ...oldestServerJobs()];
}

/** The jobs of `npm run test:install`. */
export function installJobs(): Job[] {
  const job = (name: string, file: string, args: readonly string[]): Job => ({
    name: `test/install: ${name}`,
    files: [`test/install/${file}`],
    args,
    env: {},
    alone: false,
  });
  const parts = INSTALLS.map((part) => job(part, "first-minute.ts", ["-t", part]));
  return [
    job("The client of the package", "client.ts", []),
    job("The example for Cloudflare Workers", "wrangler.ts", []),
    ...parts,
  ];
}

function manyRunsJobs(): Job[] {
  return WITH_MANY_RUNS.map(([file, runs]) => ({
    name: `${file} with ${runs} runs`,
    files: [file],
    args: [],
    env: { SPILLWAY_MODEL_RUNS: String(runs) },
    alone: false,
  }));
}

/** Whether `npm test` leaves a theme's tests on Node 22 to `npm run test:slow`. */
function isSplit({ name }: Job): boolean {
  return name.startsWith("test/contract/") && !FAST_ON_NODE22.includes(name);
}

/**
 * The jobs for the files that match one of the patterns, as `bun test` matches them: a path of a file,
 * or a part of its name. Options are passed on to `bun test`.
 */
export function jobsFor(patterns: readonly string[], options: readonly string[]): Job[] {
  const named = patterns.filter((pattern) => existsSync(join(ROOT, pattern)) && isFile(pattern));
  const parts = patterns
    .filter((pattern) => !named.includes(pattern))
    .map((pattern) => pattern.replace(/^\.\//, ""));
  const matching = testFiles().filter((file) => parts.some((part) => file.includes(part)));
  const files = [...named, ...(patterns.length === 0 ? testFiles() : matching)];
  // Not every file has a test that an option selects.
  const args = options.length === 0 ? [] : ["--pass-with-no-tests", ...options];
  return jobsOf([...new Set(files)]).map((job) => ({ ...job, args }));
}

function jobsOf(files: readonly string[]): Job[] {
  const groups = new Map<string, string[]>();
  for (const file of files) {
    const name = ONE_JOB_PER_FILE.test(file) ? file : file.split("/").slice(0, 2).join("/");
    groups.set(name, [...(groups.get(name) ?? []), file]);
  }
  return [...groups].map(([name, files]) => ({
    name,
    files,
    args: [],
    env: {},
    alone: files.some((file) => ALONE.includes(file)),
  }));
}

function oldestServerJobs(): Job[] {
  const server = findOldestNatsServer();
  if (server === undefined) {
    process.stderr.write(
      "Left out: the tests with nats-server 2.9, as neither NATS_SERVER_OLDEST nor Go is there\n",
    );
    return [];
  }
  return WITH_OLDEST_SERVER.map((file) => ({
    name: `${file} with nats-server 2.9`,
    files: [file],
    args: ["-t", "Contract on bun "],
    env: { NATS_SERVER: server },
    alone: false,
  }));
}

/** All test files, the largest first: they take longest, and shouldn't be what everything waits for. */
export function testFiles(): string[] {
  const isTest = (path: string) => path.endsWith(".test.ts") && !path.includes("node_modules");
  return readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
    .map((path) => `test/${path}`)
    .filter(isTest)
    .map((path) => ({ path, size: statSync(join(ROOT, path)).size }))
    .sort((one, other) => rankOf(one.path) - rankOf(other.path) || other.size - one.size)
    .map(({ path }) => path);
}

function rankOf(path: string): number {
  const rank = LONGEST.indexOf(path);
  return rank < 0 ? LONGEST.length : rank;
}

function isFile(path: string): boolean {
  return statSync(join(ROOT, path)).isFile();
}
