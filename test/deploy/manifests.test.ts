/** The Helm chart and the compose file, read by the code of Helm, Kubernetes and Docker Compose (test/deploy/manifests). */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { locateGo } from "../../scripts/install-nats-server.ts";
import { ROOT } from "../../scripts/installed.ts";
import { VERSION } from "../../src/gateway/version.ts";
import { createCertificates } from "../source/credentials.ts";
import { runToExit } from "../support/gateway-process.ts";
import { TARGETS } from "../support/runtimes.ts";
import { readDockerfile, textsOf } from "./dockerfile.ts";

// Helm takes minutes to compile.
setDefaultTimeout(900_000);

const directory = mkdtempSync(join(tmpdir(), "spillway-manifests-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const program = built();

function built(): string | undefined {
  const go = locateGo();
  const cwd = `${ROOT}test/deploy/manifests`;
  const skipped = (reason: string): undefined => {
    process.stderr.write(`Skipped: the chart and the compose file, as ${reason}\n`);
  };
  if (go === undefined) return skipped("Go is not there");
  const downloaded = spawnSync(go, ["mod", "download"], { cwd, encoding: "utf8" });
  if (downloaded.status !== 0) return skipped(`Go's modules are not: ${downloaded.stderr.trim()}`);
  const file = join(directory, "manifests");
  // Names the packages as it compiles them: a process that prints nothing for minutes counts as hanging.
  const { status } = spawnSync(go, ["build", "-v", "-o", file, "."], { cwd, stdio: "inherit" });
  if (status !== 0) throw new Error(`go build: exit code ${status}`);
  return file;
}

// biome-ignore lint/suspicious/noExplicitAny: Kubernetes' own code has checked the shape.
type Any = any;

function run(...args: string[]): { result?: Any; stderr: string } {
  const { status, stdout, stderr } = spawnSync(program!, args, { encoding: "utf8" });
  return status === 0 ? { result: JSON.parse(stdout), stderr } : { stderr };
}

let files = 0;
/** Renders the chart as the release "live" in the namespace "apps". */
function render(values: object, ...setFiles: string[]) {
  const file = join(directory, `values-${++files}.yaml`);
  writeFileSync(file, JSON.stringify(values));
  return run("chart", `${ROOT}deploy/helm/spillway`, file, ...setFiles);
}

function objects(values: object, ...setFiles: string[]): Any[] {
  const { result, stderr } = render(values, ...setFiles);
  if (result === undefined) throw new Error(stderr);
  return result.objects;
}

const find = (all: readonly Any[], kind: string, name = "live-spillway"): Any =>
  all.find((object) => object.kind === kind && object.metadata.name === name);

const image = { repository: "registry.example.com/spillway" };
const minimal = { image };
const RULES = `${ROOT}deploy/prometheus-rules.yml`;
/** Everything that the chart can do. */
const everything = {
  image: { ...image, digest: `sha256:${"0".repeat(64)}`, pullSecrets: [{ name: "registry" }] },
  config: {
    subjects: ["orders.>"],
    nats_url: "nats://nats",
    nats_token_file: "/run/secrets/spillway/nats",
  },
  reloadConfig: true,
  drain: { delaySeconds: 1, windowSeconds: 100, stopTimeoutSeconds: 20 },
  admin: { tokens: [{ sha256: "0".repeat(64), sub: "prometheus", role: "viewer" }] },
  tls: { existingSecret: "certificate" },
  secrets: { files: { nats: "secret" } },
  env: [{ name: "SPILLWAY_LOG_LEVEL", value: "debug" }],
  envFrom: [{ secretRef: { name: "more" } }],
  autoscaling: { enabled: true, targetClients: 5000 },
  service: { type: "LoadBalancer", annotations: { a: "b" } },
  ingress: {
    enabled: true,
    className: "nginx",
    hosts: ["app.example.com"],
    tls: [{ hosts: ["app.example.com"], secretName: "certificate" }],
  },
  httpRoute: {
    enabled: true,
    parentRefs: [{ name: "public" }],
    hostnames: ["app.example.com"],
    path: "/live",
  },
  networkPolicy: {
    enabled: true,
    clients: [{ namespaceSelector: { matchLabels: { name: "ingress" } } }],
    operators: [{ podSelector: { matchLabels: { app: "prometheus" } } }],
    egress: [{ ports: [{ port: 4222 }] }],
  },
  serviceMonitor: { enabled: true, labels: { release: "p" }, tokenSecret: { name: "viewer" } },
  prometheusRule: { enabled: true, labels: { release: "p" } },
  nodeSelector: { pool: "edge" },
  tolerations: [{ key: "edge", operator: "Exists" }],
  affinity: { podAntiAffinity: {} },
  priorityClassName: "high",
  podAnnotations: { a: "b" },
  podLabels: { c: "d" },
  extraVolumes: [{ name: "more", emptyDir: {} }],
  extraVolumeMounts: [{ name: "more", mountPath: "/more" }],
};

const all = (): Any[] => objects(everything, `prometheusRule.rules=${RULES}`);

describe.skipIf(program === undefined)("The chart", () => {
  test("makes the objects that are asked for", () => {
    const kinds = (some: readonly Any[]) => some.map(({ kind }) => kind).sort();
    const always = ["ConfigMap", "Deployment", "PodDisruptionBudget", "Secret"];
    const services = ["Service", "Service", "ServiceAccount"];
    expect(kinds(objects(minimal))).toEqual([...always, ...services]);
    const more = ["HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy"];
    const monitoring = ["PrometheusRule", "Secret", "ServiceMonitor"];
    expect(kinds(all())).toEqual([...always, ...services, ...more, ...monitoring].sort());
  });

  test("shortens names that Kubernetes would refuse", () => {
    const made = objects({ image, fullnameOverride: `${"a".repeat(56)}-bcdefg` });
    const services = made.filter(({ kind }) => kind === "Service");
    const names = services.map(({ metadata }) => metadata.name);
    expect(names).toEqual(["a".repeat(56), `${"a".repeat(56)}-admin`]);
  });

  test("has the version of the gateway", () => {
    const { template } = find(objects(minimal), "Deployment").spec;
    expect(template.spec.containers[0].image).toBe(`registry.example.com/spillway:${VERSION}`);
    expect(find(all(), "Deployment").spec.template.spec.containers[0].image).toBe(
      `registry.example.com/spillway@sha256:${"0".repeat(64)}`,
    );
  });

  test("gives the drain its time, and runs as the user of the image", () => {
    const { spec } = find(all(), "Deployment").spec.template;
    expect(spec.terminationGracePeriodSeconds).toBe(126);
    const [, stage = []] = readDockerfile(readFileSync(`${ROOT}deploy/Dockerfile`, "utf8"));
    const { runAsUser, runAsGroup } = spec.securityContext;
    expect(textsOf(stage, "USER")).toEqual([`${runAsUser}:${runAsGroup}`]);
  });

  test.each([
    ["with the least", () => objects(minimal)],
    ["with everything", all],
  ])("%s, makes a configuration that the gateway takes, and probes its ports", async (_, make) => {
    const made = make();
    const { containers, volumes } = find(made, "Deployment").spec.template.spec;
    const [container] = containers;
    const folder = mkdtempSync(join(directory, "root-"));
    const { certFile, keyFile } = createCertificates(folder).server;
    const contents: Record<string, Record<string, string>> = {
      certificate: {
        "tls.crt": readFileSync(certFile, "utf8"),
        "tls.key": readFileSync(keyFile, "utf8"),
      },
      more: {},
    };
    for (const { metadata, data, stringData = data } of made) {
      if (stringData !== undefined) contents[metadata.name] = stringData;
    }
    for (const { name, mountPath } of container.volumeMounts) {
      const { configMap, secret } = volumes.find((volume: Any) => volume.name === name);
      mkdirSync(join(folder, mountPath), { recursive: true });
      const source = contents[configMap?.name ?? secret?.secretName ?? "more"]!;
      for (const [file, text] of Object.entries(source)) {
        // The files that the configuration names are in this folder.
        writeFileSync(join(folder, mountPath, file), text.replaceAll('"/run/', `"${folder}/run/`));
      }
    }
    const env = Object.fromEntries(container.env.map(({ name, value }: Any) => [name, value]));
    const file = join(folder, env.SPILLWAY_CONFIG);
    expect(existsSync(file)).toBe(true);
    const checked = await runToExit(TARGETS.bun, { command: ["check"], args: ["--config", file] });
    expect(checked).toMatchObject({ code: 0, stderr: "" });

    const config = JSON.parse(readFileSync(file, "utf8"));
    const ports = Object.fromEntries(
      container.ports.map((port: Any) => [port.name, port.containerPort]),
    );
    expect(ports).toEqual({ http: config.port, admin: config.admin_port });
    for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
      const scheme = config.tls_cert_file === undefined ? undefined : "HTTPS";
      expect(container[probe].httpGet).toMatchObject({ port: "admin", ...(scheme && { scheme }) });
    }
  });

  test("replaces the pods when the configuration changes, or has them reload it", () => {
    const pods = (config: object, reloadConfig = false) =>
      find(objects({ image, config, reloadConfig }), "Deployment").spec.template;
    expect(pods({ subjects: ["a"] })).toEqual(pods({ subjects: ["a"] }));
    expect(pods({ subjects: ["a"] })).not.toEqual(pods({ subjects: ["b"] }));
    expect(pods({ subjects: ["a"] }, true)).toEqual(pods({ subjects: ["b"] }, true));
  });

  test("scales on CPU and clients, and down slowly", () => {
    const made = all();
    expect(find(made, "Deployment").spec.replicas).toBeUndefined();
    const { metrics, behavior } = find(made, "HorizontalPodAutoscaler").spec;
    expect(metrics.map(({ type }: Any) => type)).toEqual(["Resource", "Pods"]);
    expect(behavior.scaleDown).toMatchObject({ policies: [{ value: 1, periodSeconds: 300 }] });
    expect(find(objects(minimal), "Deployment").spec.replicas).toBe(2);
  });

  test("never shows the port of the operators with that of the clients", () => {
    const made = all();
    expect(find(made, "Service").spec.ports.map(({ name }: Any) => name)).toEqual(["http"]);
    expect(find(made, "Service", "live-spillway-admin").spec.type).toBeUndefined();
    const monitored = find(made, "ServiceMonitor").spec;
    expect(find(made, "Service", "live-spillway-admin").metadata.labels).toMatchObject(
      monitored.selector.matchLabels,
    );
  });

  test("takes alert rules as they are", () => {
    const rules = Bun.YAML.parse(readFileSync(RULES, "utf8"));
    expect(find(all(), "PrometheusRule").spec).toEqual(rules);
    expect(JSON.stringify(rules)).toContain("{{ $");
  });

  test.each<[string, object, string]>([
    ["no repository", {}, "Set image.repository"],
    ["a key of the chart", { image, config: { port: 1 } }, "config.port is set by the chart"],
    ["an unknown value", { image, replicas: 1 }, "additional properties 'replicas' not allowed"],
    ["a wrong value", { image, service: { port: "80" } }, "/service/port"],
    ["an ingress without a host", { image, ingress: { enabled: true } }, "Set ingress.hosts"],
    [
      "a route without a parent",
      { image, httpRoute: { enabled: true } },
      "Set httpRoute.parentRefs",
    ],
    [
      // Kubernetes would scale on CPU then.
      "an autoscaler that measures nothing",
      { image, autoscaling: { enabled: true, targetCPUUtilizationPercentage: 0 } },
      "Set autoscaling.targetCPUUtilizationPercentage or autoscaling.targetClients",
    ],
    [
      "a field that Kubernetes doesn't know",
      { image, resources: { limit: {} } },
      'unknown field "spec.template.spec.containers[0].resources.limit"',
    ],
  ])("refuses %s", (_, values, message) => {
    expect(render(values)).toEqual({ stderr: expect.stringContaining(message) });
  });

  test("says after the install what is missing", () => {
    expect(render(minimal).result.notes).toContain("Nobody needs a login");
    const config = { nats_url: "nats://nats", tokens_file: "/run/secrets/spillway/tokens" };
    const { notes } = render({ image, config }).result;
    expect(notes).not.toContain("Nobody needs a login");
    expect(notes).not.toContain("No NATS");
  });
});

describe.skipIf(program === undefined)("The compose file", () => {
  const load = (): Any => run("compose", `${ROOT}deploy/compose.yaml`).result;

  test("shows nothing to other machines", () => {
    const services: Any[] = Object.values(load().services);
    const ports = services.flatMap(({ ports }) => ports);
    expect(ports.length).toBeGreaterThan(3);
    expect(new Set(ports.map(({ host_ip }) => host_ip))).toEqual(new Set(["127.0.0.1"]));
  });

  test("mounts files that are there", () => {
    const services: Any[] = Object.values(load().services);
    const mounts = services.flatMap(({ volumes = [] }) => volumes);
    const sources = mounts.filter(({ type }) => type === "bind").map(({ source }) => source);
    expect(sources.length).toBeGreaterThan(4);
    expect(sources.filter((source) => !existsSync(source))).toEqual([]);
    const { build } = load().services.gateway;
    expect(existsSync(join(build.context, build.dockerfile))).toBe(true);
  });

  test("has settings that the gateway takes, at the port that Prometheus asks", async () => {
    const { gateway } = load().services;
    const env = { ...gateway.environment, SPILLWAY_HOST: "0.0.0.0" };
    const checked = await runToExit(TARGETS.bun, {
      command: ["print-config"],
      args: ["--json"],
      env,
    });
    expect(checked).toMatchObject({ code: 0, stderr: "" });
    const prometheus = Bun.YAML.parse(readFileSync(`${ROOT}deploy/compose/prometheus.yml`, "utf8"));
    const [job] = (prometheus as Any).scrape_configs;
    expect(job.static_configs[0].targets).toEqual([`gateway:${gateway.ports[0].target}`]);
  });
});
