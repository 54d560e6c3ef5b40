import type { StreamInput } from "../core/ports/source.ts";
import type { NetworkPortConfig, Port, SubjectPortConfig } from "./contract.ts";

/**
 * Returns one port for each subject, and one for each subject of each stream. A port is required only if a flow's own
 * port says so: a subject may have no publisher yet.
 */
export function subjectPorts(
  subjects: readonly string[],
  streams: readonly StreamInput[],
  required: readonly string[],
): Port<SubjectPortConfig>[] {
  const plain = subjects.map((subject) => ({
    type: "nats" as const,
    subject,
    description: `NATS subject subscription for ${subject}`,
  }));
  const kept = streams.flatMap(({ name, subjects: of }) =>
    of.map((subject) => ({
      type: "jetstream" as const,
      subject,
      description: `JetStream stream ${name}, subject ${subject}`,
    })),
  );
  return [...plain, ...kept].map(({ type, subject, description }, index) => ({
    name: `nats_input_${index}`,
    direction: "input",
    required: required.includes(subject),
    description,
    config: { type, data: { subject } },
  }));
}

/** Returns the port that clients connect to. */
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
