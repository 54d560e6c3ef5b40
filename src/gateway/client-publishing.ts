import type { Config } from "../config/config.ts";
import type { ClientPublisher, PublishFailure } from "../core/ports/source.ts";
import type { Selection } from "../core/subject/subject.ts";
import { MemorySource } from "../source/memory.ts";
import { canPublish, type GatewaySource } from "./create-source.ts";

type PublishKeys = Pick<Config, "publish" | "publishSubjects">;

/** Says whether clients may publish, and where to. */
export interface ClientPublishing {
  readonly isPossible: boolean;
  /** The subjects that clients may publish to if they need no token. With tokens, these say it. */
  readonly openSubjects: Selection;
}

/**
 * Decides whether clients may publish: to the in-memory source unless `publish` is false, to a host's own source if it is
 * true, and to NATS what `publish_subjects` or their tokens allow.
 */
export function clientPublishing(
  config: PublishKeys,
  source: GatewaySource,
  isHosts: boolean,
): ClientPublishing {
  const { publish, publishSubjects } = config;
  if (clientPublisherOf(config, source) === undefined) {
    return { isPossible: false, openSubjects: [] };
  }
  const isOpen = isHosts ? publish === true : source instanceof MemorySource;
  const openSubjects = isOpen && publishSubjects.length === 0 ? "everything" : publishSubjects;
  return { isPossible: true, openSubjects };
}

/** Whether some client may publish. */
export function somebodyPublishes(
  { isPossible, openSubjects }: ClientPublishing,
  needsToken: boolean,
): boolean {
  return isPossible && (needsToken || openSubjects.length > 0);
}

/** Returns what publishes the messages of clients; `undefined` if none of them may publish, or the source takes none. */
export function clientPublisherOf(
  { publish }: Pick<PublishKeys, "publish">,
  source: GatewaySource,
): ClientPublisher | undefined {
  if (publish === false) return undefined;
  if (source.clientPublisher !== undefined) return source.clientPublisher;
  if (!canPublish(source)) return undefined;
  return {
    publish: async ({ subject, data, headers }) => {
      if (source.status.state !== "connected") return failure("unavailable", "not connected", true);
      source.publish({ subject, data, headers });
      return { kind: "published" };
    },
    request: async () => failure("no_responders", "not asked for answers", false),
  };

  function failure(code: PublishFailure["code"], what: string, retryable: boolean): PublishFailure {
    return { kind: "failed", code, message: `${source.name} is ${what}`, retryable };
  }
}
