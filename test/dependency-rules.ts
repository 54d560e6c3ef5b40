import type { IConfiguration, IForbiddenRuleType } from "dependency-cruiser";

/** The rooms of `src/core/`: each may import the rooms before it in this list, and none behind it. */
export const CORE_ROOMS = [
  "ports",
  "collections",
  "subject",
  "timing",
  "wire",
  "access",
  "metering",
  "upstream",
  "history",
  "fanout",
  "acks",
  "sessions",
  "authentication",
  "publishing",
  "presence",
  "subscribe",
];

/** The folders of `src/` beside `core/`, with the folders that each of them may import. */
export const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  client: ["protocol"],
  core: ["protocol"],
  access: ["core", "protocol"],
  config: ["access/algorithms.ts", "access/permissions.ts", "core", "protocol"],
  streamkit: ["core", "config", "gateway"],
  source: ["core", "protocol"],
  metrics: ["core", "protocol"],
  telemetry: ["core", "metrics", "http/request-trace.ts", "log"],
  log: ["core"],
  http: ["access", "core", "protocol", "config/nearest.ts", "runtime/runtime.ts"],
  runtime: ["core", "protocol"],
  workers: [
    "access/revocation-entry.ts",
    "core",
    "config",
    "gateway/memory-limit.ts",
    "gateway/siblings.ts",
    "http/reload.ts",
    "http/status.ts",
    "metrics",
  ],
  commands: [
    "access",
    "client",
    "core",
    "protocol",
    "config",
    "gateway",
    "http/host.ts",
    "http/reload.ts",
    "log",
    "runtime/clock.ts",
    "runtime/listen-error.ts",
    "workers",
    "telemetry",
  ],
  gateway: [
    ...["access", "core", "protocol", "config", "source", "metrics", "log", "http", "runtime"],
    "telemetry",
  ],
  edge: [
    ...["core", "config", "gateway", "log", "runtime", "source/servers.ts"],
    ...["commands/announce.ts", "commands/command.ts", "commands/stop-on-signals.ts"],
  ],
};

/** The places that may import a package of npm: folders or files of `src/`. Other packages are not imported at all. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "@hono/node-server": ["runtime/node.ts"],
  "@humanwhocodes/momoa": ["config"],
  "@logtape/logtape": ["log"],
  "@opentelemetry/api": ["telemetry"],
  "@opentelemetry/exporter-logs-otlp-proto": ["telemetry/otlp.ts"],
  "@opentelemetry/exporter-metrics-otlp-proto": ["telemetry/otlp.ts"],
  "@opentelemetry/exporter-trace-otlp-proto": ["telemetry/otlp.ts"],
  "@opentelemetry/resources": ["telemetry/otlp.ts"],
  "@opentelemetry/sdk-logs": ["telemetry/otlp.ts"],
  "@opentelemetry/sdk-metrics": ["telemetry"],
  "@opentelemetry/sdk-trace": ["telemetry/otlp.ts"],
  bun: ["runtime/bun.ts"],
  "ipaddr.js": ["config", "http"],
  hono: ["http", "runtime", "gateway"],
  jose: ["access/jwt.ts", "access/sign-token.ts", "access/verification-keys.ts"],
  nats: ["source/connect.ts"],
  "nats.ws": ["source/connect.ts"],
  "prom-client": ["metrics"],
  react: ["client/react.ts"],
  ws: ["runtime/node.ts", "runtime/ws.ts"],
  zod: ["config"],
};

function anyOf(names: readonly string[]): string {
  return `(${names.map((name) => name.replaceAll(".", "\\.")).join("|")})`;
}

const cycles: IForbiddenRuleType = {
  name: "no cycles",
  comment: "Files that import each other can't be understood one after another.",
  severity: "error",
  from: {},
  to: { circular: true },
};

const rooms = CORE_ROOMS.map(
  (room, index): IForbiddenRuleType => ({
    name: `core/${room} imports only the rooms above it`,
    severity: "error",
    from: { path: `^src/core/${room}/` },
    to: {
      path: "^src/core/",
      pathNot: `^src/core/${anyOf(CORE_ROOMS.slice(0, index + 1))}/`,
    },
  }),
);

const folders = Object.entries(FOLDERS).map(
  ([folder, allowed]): IForbiddenRuleType => ({
    name: `src/${folder} imports ${["itself", ...allowed].join(", ")} and no other folder`,
    severity: "error",
    from: { path: `^src/${folder}/` },
    to: { path: "^src/", pathNot: `^src/${anyOf([folder, ...allowed])}(/|$)` },
  }),
);

const packages: IForbiddenRuleType[] = [
  ...Object.entries(PACKAGES).map(
    ([name, places]): IForbiddenRuleType => ({
      name: `${name} is imported by ${places.join(" and ")} only`,
      severity: "error",
      from: { path: "^src/", pathNot: `^src/${anyOf(places)}(/|$)` },
      to: { path: `(^|node_modules/)${anyOf([name])}(/|$)`, pathNot: "^(src|test|bench)/" },
    }),
  ),
  {
    name: "each package of npm has a row in the table",
    severity: "error",
    from: { path: "^src/" },
    to: {
      pathNot: `(^(src|test|bench)/|(^|node_modules/)(@types/)?${anyOf(Object.keys(PACKAGES))}(/|$))`,
      dependencyTypesNot: ["core"],
    },
  },
];

const runtimes: IForbiddenRuleType = {
  name: "a runtime's adapter is loaded on that runtime only",
  comment: "It is imported when the runtime is known.",
  severity: "error",
  from: { path: "^src/", pathNot: "^src/((bun|deno|node)\\.ts$|edge/)" },
  to: {
    path: "^src/runtime/(bun|cloudflare|deno|node)\\.ts$",
    dynamic: false,
    dependencyTypesNot: ["type-only"],
  },
};

const client: IForbiddenRuleType = {
  name: "src/client imports only types of the protocol",
  comment: "Its validators would be in every page's bundle.",
  severity: "error",
  from: { path: "^src/client/" },
  to: { path: "^src/protocol/", dependencyTypesNot: ["type-only"] },
};

/** Which folder may import which, as `docs/architecture.md` draws it: for dependency-cruiser. */
export const DEPENDENCY_RULES: IConfiguration = {
  forbidden: [cycles, ...rooms, ...folders, ...packages, runtimes, client],
  options: {
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^dist/" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["types", "import", "default"],
    },
  },
};
