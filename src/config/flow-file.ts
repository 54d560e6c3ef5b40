import { FILE_KEYS, keys } from "./keys.ts";
import { brokenLayer, type Layer } from "./layer.ts";
import { nearest } from "./nearest.ts";
import { type Problem, quoted, shown, unknownName } from "./problem.ts";
import { plainLayer } from "./streamkit.ts";

/**
 * A file's content as a layer: a configuration of our own, one with StreamKit's `ports`, or a whole
 * flow file of StreamKit (`{"nats":{…},"components":{"<instance>":{"type":"output",
 * "name":"websocket","enabled":true,"config":{…}}}}`).
 *
 * @param from the file's path, for errors.
 */
export function fileLayer(content: unknown, from?: string): Layer {
  if (!isObject(content)) return brokenLayer({ text: "it must be a JSON object", from });
  return Object.hasOwn(content, "components")
    ? flowLayer(content, from)
    : plainLayer(content, from);
}

/** The maximum number of outputs that an error names. */
const MOST_OUTPUTS_SHOWN = 5;

/** The keys of an entry of a flow. */
export const ENTRY_KEYS: readonly string[] = ["type", "name", "enabled", "config"];

/**
 * The one WebSocket output of a flow, and the NATS server and the TLS of the flow; all else in the file is for other
 * parts of StreamKit, but for our own keys: those stand in the output's `config`, and beside
 * `components` they would do nothing. The instance's name becomes `name`, unless its `config` has one.
 */
function flowLayer(flow: Record<string, unknown>, from: string | undefined): Layer {
  const outputs = Object.entries(isObject(flow.components) ? flow.components : {}).flatMap(
    ([instance, entry]) =>
      isObject(entry) && entry.type === "output" && entry.name === "websocket"
        ? [{ instance, enabled: entry.enabled === true, config: entry.config ?? {}, entry }]
        : [],
  );
  const enabled = outputs.filter((output) => output.enabled);
  const [chosen, ...others] = enabled;
  const broken = (text: string) => brokenLayer({ text, from });
  if (chosen === undefined) {
    const found = outputs.length === 0 ? otherOutputs(flow) : ` (disabled: ${names(outputs)})`;
    return broken(`"components" has no enabled output named "websocket"${found}`);
  }
  if (others.length > 0) {
    return broken(
      `"components" must have one enabled output named "websocket" but has ${enabled.length}: ${names(enabled)}`,
    );
  }
  if (!isObject(chosen.config)) {
    return broken(`"config" of component ${names([chosen])} must be an object`);
  }
  const { instance, config, entry } = chosen;
  const part = `component ${names([chosen])}`;
  const where = from === undefined ? part : `${part} of ${from}`;
  const layer = plainLayer(
    { name: instance, ...natsOf(flow.nats), ...securityOf(flow), ...config },
    where,
  );
  const problems = [...misplaced(flow, part, from), ...unknownIn(entry, where)];
  return { ...layer, problems: [...problems, ...layer.problems] };
}

/** Returns the names of a flow's outputs, one of which may be a misspelt WebSocket. */
function otherOutputs({ components }: Record<string, unknown>): string {
  const entries = isObject(components) ? Object.entries(components) : [];
  const others = entries.flatMap(([instance, entry]) =>
    isObject(entry) && entry.type === "output"
      ? [`${quoted(instance)} is ${shown(entry.name)}`]
      : [],
  );
  return others.length === 0 ? "" : ` (${others.slice(0, MOST_OUTPUTS_SHOWN).join(", ")})`;
}

/**
 * What else a flow and its `nats` say is StreamKit's own, and may be new in its next version: a key is
 * only refused there when it is one of ours, or one letter off a key that is read.
 */
function misplaced(flow: Record<string, unknown>, part: string, from?: string): Problem[] {
  // A flow has these beside its components.
  const flows = ["$schema", "security"];
  const own: string[] = [...Object.keys(keys), ...FILE_KEYS].filter((key) => !flows.includes(key));
  const read = [...own, "nats", "components", "security"];
  const beside = Object.keys(flow).flatMap((key) => {
    if (!own.includes(key)) return misspelt("", key, read);
    // StreamKit has an object of this name there.
    if (key === "streams" && isObject(flow.streams)) return [];
    return `${quoted(key)} has no effect beside "components"; move it into "config" of ${part}`;
  });
  return [...beside, ...natsProblems(flow.nats)].map((text) => ({ text, from }));
}

function natsProblems(nats: unknown): string[] {
  if (nats === undefined || nats === null) return [];
  if (!isObject(nats)) return ['"nats" must be an object'];
  const tls = isObject(nats.tls) ? Object.keys(nats.tls) : [];
  return [
    ...Object.keys(nats).flatMap((key) => misspelt("nats.", key, NATS_KEYS)),
    ...tls.flatMap((key) => misspelt("nats.tls.", key, TLS_KEYS)),
  ];
}

function misspelt(parent: string, key: string, known: readonly string[]): string[] {
  const near = known.includes(key) ? undefined : nearest(key, known, 1);
  return near === undefined ? [] : [unknownName("key", parent + key, near)];
}

function unknownIn(entry: object, from: string): Problem[] {
  const unknown = Object.keys(entry).filter((key) => !ENTRY_KEYS.includes(key));
  return unknown.map((key) => ({ text: unknownName("key", key, nearest(key, ENTRY_KEYS)), from }));
}

/** The keys of a flow's `nats` and its `tls` that are read. */
const NATS_KEYS = ["urls", "username", "password", "token", "tls"];
const TLS_KEYS = ["enabled", "ca_file", "cert_file", "key_file"];

/** StreamKit's `NATSConfig`. Its texts are empty where nothing is set, as Go writes them. */
function natsOf(nats: unknown): Record<string, unknown> {
  if (!isObject(nats)) return {};
  const tls = isObject(nats.tls) && nats.tls.enabled === true ? nats.tls : {};
  const values = {
    nats_url: nats.urls,
    nats_user: nats.username,
    nats_password: nats.password,
    nats_token: nats.token,
    nats_tls_ca_file: tls.ca_file,
    nats_tls_cert_file: tls.cert_file,
    nats_tls_key_file: tls.key_file,
  };
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined && value !== ""),
  );
}

/** A flow's `security` is for all of its parts. */
function securityOf({ security }: Record<string, unknown>): Record<string, unknown> {
  return security === undefined ? {} : { security };
}

function names(outputs: readonly { instance: string }[]): string {
  return outputs.map(({ instance }) => quoted(instance)).join(", ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
