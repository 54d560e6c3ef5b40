import type { z } from "zod";
import { type Layer, layerFrom, stacked } from "./layer.ts";
import { issueText, type Problem, separated, shown } from "./problem.ts";
import { KV_PREFIX, streamInputs } from "./stream-inputs.ts";
import { knownPortKeys, LISTENER_URL, type Ports, portsSchema } from "./streamkit-ports.ts";
import { securityLayer } from "./streamkit-security.ts";

/** StreamKit's defaults (`DefaultConstructorConfig`). */
const STREAMKIT_PORT = 8081;
const STREAMKIT_SUBJECTS = ["semantic.>"];

type Inputs = NonNullable<Ports["inputs"]>;
type Values = Readonly<Record<string, unknown>>;

/**
 * A file's outermost level as a layer of plain keys: `ports` say `subjects`, `streams`, `start_from`, `host`,
 * `port` and `path`, `passthrough` says `payload_format`, `security` says `tls_…`, and `$schema` is for editors.
 *
 * @param from what the configuration came from, for errors: a file path, perhaps.
 */
export function plainLayer(values: Values, from?: string): Layer {
  const { $schema, passthrough, ports, security, ...plain } = values;
  const schema =
    $schema === undefined || typeof $schema === "string"
      ? []
      : [brokenBy(`"$schema" is ${shown($schema)} but must be a text`, from)];
  return stacked([
    ...schema,
    passthroughLayer(passthrough, plain, from),
    portsLayer(ports, plain, from),
    securityLayer(security, plain, from),
    layerFrom(plain, from),
  ]);
}

/** Reads StreamKit's `passthrough`: whether payloads are sent unchanged. */
function passthroughLayer(passthrough: unknown, plain: Values, from?: string): Layer {
  if (passthrough === undefined) return layerFrom({});
  if (typeof passthrough !== "boolean") {
    return brokenBy(`"passthrough" is ${shown(passthrough)} but must be true or false`, from);
  }
  const { payload_format } = plain;
  const said = passthrough ? "raw" : "annotated";
  if (payload_format !== undefined && payload_format !== said) {
    const rule = `"passthrough" is ${passthrough}, which is "${said}"`;
    return brokenBy(`"payload_format" is ${shown(payload_format)} but ${rule}`, from);
  }
  return layerFrom({ payload_format: said }, partOf("passthrough", from));
}

/** Returns a layer without values that has one problem. */
function brokenBy(text: string, from: string | undefined): Layer {
  return { ...layerFrom({}), problems: [{ text, from }] };
}

function partOf(part: string, from: string | undefined): string {
  return from === undefined ? part : `${part} of ${from}`;
}

/**
 * Reads StreamKit's `ports`:
 *
 * - inputs alone (StreamKit's documentation) say the subjects; all else keeps our defaults;
 * - an output (StreamKit's code) says where to listen: port 8081 when it names none, and then
 *   `semantic.>` is carried when there are no inputs.
 */
function portsLayer(ports: unknown, plain: Values, from: string | undefined): Layer {
  if (ports === undefined) return layerFrom({});
  const result = portsSchema.safeParse(ports, { reportInput: true });
  if (!result.success) {
    const problems = portProblems(result.error.issues, from);
    return { ...layerFrom({}), problems, isIncomplete: true };
  }

  const { inputs = [] } = result.data;
  const subjects = subjectsOf(inputs);
  const streams = streamsOf(inputs);
  const [start_from, ...otherStarts] = startsOf(inputs);
  const listener = listenerOf(result.data);
  const problems: Problem[] = [];
  const conflict = (key: string, text: string) => problems.push({ key, text, from });
  for (const key of ["subjects", "streams"]) {
    if (subjects === undefined || plain[key] === undefined) continue;
    conflict(key, `"${key}" must not be set beside "ports.inputs", which says the same`);
  }
  for (const [key, value] of Object.entries(listener)) {
    if (plain[key] === undefined || plain[key] === value) continue;
    conflict(key, `"${key}" is ${shown(plain[key])} but "ports.outputs[0]" says ${shown(value)}`);
  }
  if (otherStarts.length > 0) {
    const all = [start_from, ...otherStarts].map(shown).join(" and ");
    conflict("start_from", `"ports.inputs" must have one "deliver_policy" but have ${all}`);
  }
  if (start_from !== undefined && ![undefined, start_from].includes(plain.start_from as string)) {
    const is = shown(plain.start_from);
    conflict("start_from", `"start_from" is ${is} but "ports.inputs" say ${shown(start_from)}`);
  }

  const hasOutput = (result.data.outputs ?? []).length > 0;
  const defaults = hasOutput ? { port: STREAMKIT_PORT, subjects: STREAMKIT_SUBJECTS } : {};
  const said = subjects === undefined ? {} : { subjects, streams, start_from };
  const parts = [
    layerFrom(defaults, partOf("ports", from)),
    layerFrom(said, partOf("ports.inputs", from)),
    layerFrom(listener, partOf("ports.outputs[0]", from)),
  ];
  const requiredSubjects = patternsOf(inputs.filter(({ required }) => required === true));
  return { ...stacked(parts), problems, requiredSubjects };
}

/** `undefined` when the inputs leave it open. */
function subjectsOf(inputs: Inputs): string[] | undefined {
  if (inputs.length === 0) return undefined;
  return inputs.map(described).flatMap(({ kind, subject }) => (kind === "nats" ? [subject!] : []));
}

/** Returns what inputs of any kind carry. */
function patternsOf(inputs: Inputs): string[] {
  const streams = streamInputs(streamsOf(inputs)).flatMap(({ subjects }) => subjects);
  return [...(subjectsOf(inputs) ?? []), ...streams];
}

/** As in the key `streams`. */
function streamsOf(inputs: Inputs): string[] {
  return inputs.map(described).flatMap((input) => {
    if (input.kind === "nats") return [];
    const name = input.kind === "kv" ? `${KV_PREFIX}${input.bucket}` : input.stream_name;
    const subjects = [
      ...(input.subjects ?? []),
      ...(input.subject === undefined ? [] : [input.subject]),
    ];
    return subjects.length === 0 ? [`${name}`] : subjects.map((subject) => `${name}:${subject}`);
  });
}

/** Returns the distinct start points of the inputs. */
function startsOf(inputs: Inputs): string[] {
  const starts = inputs.flatMap((input) => described(input).deliver_policy ?? []);
  return [...new Set(starts)];
}

/** Returns the source of an input's messages, in either spelling. */
function described({ type = "nats", config, ...untyped }: Inputs[number]) {
  return config ?? { kind: type, ...untyped };
}

/** Returns the parts of the address that the output names. */
function listenerOf({ outputs = [] }: Ports): { host?: string; port?: number; path?: string } {
  const [output] = outputs;
  if (output?.config !== undefined) {
    const { host, port, path } = output.config;
    return { ...(host && { host }), ...(port !== undefined && { port }), ...(path && { path }) };
  }
  // `URL` drops a scheme's default port, which would hide "http://host:80".
  const parts = LISTENER_URL.exec(output?.subject ?? "")?.groups ?? {};
  const host = parts.v6 || parts.host;
  return {
    ...(host && { host }),
    ...(parts.port && { port: Number(parts.port) }),
    // A URL without a path means "/".
    ...(parts.path && parts.path !== "/" && { path: parts.path }),
  };
}

function portProblems(issues: readonly z.core.$ZodIssue[], from: string | undefined): Problem[] {
  const portOf = ({ path }: z.core.$ZodIssue) => path.slice(0, 2).join(".");
  const isKind = ({ path }: z.core.$ZodIssue) =>
    ["type", "config.kind"].includes(path.slice(2).join("."));
  // A port of another kind has other keys too, so only its kind is reported.
  const otherKinds = new Set(issues.filter(isKind).map(portOf));
  return issues
    .filter((issue) => isKind(issue) || !otherKinds.has(portOf(issue)))
    .flatMap(separated)
    .map((issue) => {
      const path = ["ports", ...issue.path];
      const text = issueText(
        { ...issue, path },
        { knownKeys: () => knownPortKeys(issue.path), isSecret: () => false },
      );
      return { text, from };
    });
}
