import type { NetworkPortConfig, Port, SubjectPortConfig } from "./contract.ts";

/** One port for each subject. Only a flow's own ports say "required": a subject may have no publisher yet. */
export function subjectPorts(
  subjects: readonly string[],
  required: readonly string[],
): Port<SubjectPortConfig>[] {
  return subjects.map((subject, index) => ({
    name: `nats_input_${index}`,
    direction: "input",
    required: required.includes(subject),
    description: `NATS subject subscription for ${subject}`,
    config: { type: "nats", data: { subject } },
  }));
}

/** The port where clients connect. */
export function endpointPort(host: string, port: number, path: string): Port<NetworkPortConfig> {
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return {
    name: "websocket_endpoint",
    direction: "output",
    required: false,
    description: `WebSocket endpoint at ws://${authority}${path}`,
    config: { type: "network", data: { protocol: "websocket", host, port } },
  };
}
