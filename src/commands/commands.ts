import type { Command } from "./command.ts";
import {
  BENCH_FLAGS,
  CHECK_FLAGS,
  HEALTHCHECK_FLAGS,
  JSON_FLAG,
  SERVE_FLAGS,
  TAIL_FLAGS,
  TOKEN_MAKE_FLAGS,
  TOP_FLAGS,
} from "./command-flags.ts";

// Each command loads its own code, so that a health check loads no gateway.

/** Runs if no command is named. */
export const SERVE: Command = {
  name: "serve",
  summary: "Runs the gateway. Runs if no command is named.",
  about:
    "Runs the gateway until SIGTERM or SIGINT stops it. SIGHUP reloads the configuration. With workers, it starts them and replaces those that end. The exit code is 0 after a stop in time; 1 if the configuration is wrong, the port is taken, or workers can't be kept running; 2 if the stop took longer than stop_timeout, or if another signal came during the stop.",
  flags: SERVE_FLAGS,
  readsConfig: true,
  examples: ["spillway serve --config spillway.json"],
  run: async (invocation) => (await import("./serve.ts")).serve(invocation),
};

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  SERVE,
  {
    name: "check",
    summary: "Checks the configuration, and on request the connection to NATS.",
    about:
      "Prints all errors of a configuration, a line each, or all its settings. Opens nothing, unless --connect is given. The exit code is 0 if all is right, and otherwise 1.",
    flags: CHECK_FLAGS,
    readsConfig: true,
    examples: ["spillway check --config spillway.json --connect"],
    run: async (invocation) => (await import("./check.ts")).checkConfig(invocation),
  },
  {
    name: "print-config",
    summary: "Prints each setting with its source.",
    about:
      "Prints the configuration as it comes to from defaults, file, environment and flags: each setting with its source, without secrets.",
    flags: [JSON_FLAG],
    readsConfig: true,
    examples: ["spillway print-config --config spillway.json --json"],
    run: async (invocation) => (await import("./print-config.ts")).printConfig(invocation),
  },
  {
    name: "schema",
    summary: "Prints the JSON Schema of a configuration file.",
    about:
      'Prints the JSON Schema (draft 2020-12) of a configuration file. Editors read it if a file names it as its "$schema".',
    flags: [],
    readsConfig: false,
    examples: ["spillway schema > spillway.schema.json"],
    run: async (invocation) => (await import("./schema.ts")).printSchema(invocation),
  },
  {
    name: "token make",
    summary: "Signs a token, for tests.",
    about:
      "Signs a JSON Web Token with a private key, and prints it. It is meant for tests: in production, an identity provider signs tokens. With a configuration that has issuers, the first one's name, audience and type are the defaults. --allow, --deny and --claim may be repeated.",
    flags: TOKEN_MAKE_FLAGS,
    readsConfig: true,
    examples: [
      "spillway token make --config spillway.json --key dev.pem --sub u_42 --allow 'orders.u_42.>'",
    ],
    run: async (invocation) => (await import("./token-make.ts")).makeToken(invocation),
  },
  {
    name: "token inspect",
    summary: "Explains a token, and whether this configuration takes it.",
    about:
      "Reads a token from the standard input, prints its header and claims, and says whether a gateway with this configuration takes it, and what its client may do. The exit code is 0 if the gateway takes it, and otherwise 1. It asks no service and no bucket in NATS.",
    flags: [JSON_FLAG],
    readsConfig: true,
    examples: ["spillway token inspect --config spillway.json < token.txt"],
    run: async (invocation) => (await import("./token-inspect.ts")).inspectToken(invocation),
  },
  {
    name: "hash-password",
    summary: "Hashes a password for passwords_file.",
    about:
      "Reads a password from the first line of the standard input, and prints its hash for passwords_file.",
    flags: [],
    readsConfig: false,
    examples: ["spillway hash-password < password.txt"],
    run: async (invocation) => (await import("./hash-password.ts")).printPasswordHash(invocation),
  },
  {
    name: "healthcheck",
    summary: "Asks the gateway on this machine whether it is ready.",
    about:
      "Asks /readyz of the gateway that runs with the same configuration: on admin_port, if there is one, and otherwise on port. The exit code is 0 if it is ready, and otherwise 1. For containers without a shell.",
    flags: HEALTHCHECK_FLAGS,
    readsConfig: true,
    examples: ["spillway healthcheck --config spillway.json"],
    run: async (invocation) => (await import("./healthcheck.ts")).checkHealth(invocation),
  },
  {
    name: "tail",
    summary: "Prints messages of a gateway as they come.",
    about:
      "Follows subjects with the client of this package: it prints each message, and a gap in the place of missing ones. If the connection is lost, it says so and continues after the last message. It ends when all its subjects have ended, after --count messages, or with Ctrl-C; the exit code is then 0. It is 1 if the gateway refuses the client or the subjects. From a gateway in at-least-once, it acknowledges what it prints.",
    words: "<subject>…",
    flags: TAIL_FLAGS,
    readsConfig: false,
    examples: [
      "spillway tail 'orders.>' --url http://localhost:8080",
      "spillway tail 'orders.>' --from all --json | jq .payload",
    ],
    run: async (invocation) => (await import("./tail.ts")).tailSubjects(invocation),
  },
  {
    name: "top",
    summary: "Shows clients, queues and lag of a running gateway.",
    about:
      "Reads /healthz and /metrics of a gateway: how many clients it has, what waits for them, how far they are behind, and which ones are furthest behind (at most ten). On a terminal, it shows them again and again until Ctrl-C; otherwise once. The exit code is 1 if the gateway can't be read.",
    flags: TOP_FLAGS,
    readsConfig: false,
    examples: [
      "spillway top --url http://localhost:9090 --token operator.txt",
      "spillway top --json --sort bytes",
    ],
    run: async (invocation) => (await import("./top.ts")).showTop(invocation),
  },
  {
    name: "bench",
    summary: "Loads a gateway, and measures what its clients get.",
    about:
      "Connects clients to a gateway, publishes messages of one subject, and says how many each client got, how late, and which losses the gateway declared. The clients and the publisher share one core, so that a fast gateway may wait for them. The exit code is 1 if a message is missing that no gap declares. By POST, a gateway takes max_publishes_per_second (100 by default); use --nats for more.",
    flags: BENCH_FLAGS,
    readsConfig: false,
    examples: [
      "spillway bench --clients 100 --rate 50 --time 10s",
      "spillway bench --clients 500 --rate 1000 --nats nats://localhost:4222 --json",
    ],
    run: async (invocation) => (await import("./bench.ts")).runBench(invocation),
  },
  {
    name: "explain",
    summary: "Explains the code of an error or of a close.",
    about:
      "Says what a code means, what spillway/client does, and what to do: a code of an error (CONFIG_INVALID, forbidden), or of a close (4510). Without a code, it lists them all.",
    words: "<code>",
    flags: [JSON_FLAG],
    readsConfig: false,
    examples: ["spillway explain 4510"],
    run: async (invocation) => (await import("./explain.ts")).explainCode(invocation),
  },
];
