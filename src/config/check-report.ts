import { listenerUrl } from "./address.ts";
import type { LoadedConfig } from "./load.ts";
import type { Setting } from "./settings.ts";

/** Returns what `--check` prints about a valid configuration: each key with its value, without secrets. */
export function checkReport({ config, settings, notices }: LoadedConfig): string {
  const { host, port, path, subjects, streams, natsUrls, tlsCertFile } = config;
  const url = listenerUrl(host, port, tlsCertFile !== undefined);
  const at = port === 0 ? "any free port" : `${url.replace("http", "ws")}${path}`;
  const carried = [...subjects, ...streams.map((stream) => `stream ${stream}`)].join(", ");
  const source = natsUrls.length === 0 ? "an in-memory source" : "NATS";
  const given = settings.filter(({ from }) => from !== undefined);
  const defaults = settings.filter(({ from, value }) => from === undefined && value !== undefined);
  return `${[
    "The configuration is valid. Nothing was opened.",
    "",
    ...notices.map((notice) => `Warning: ${notice}.`),
    `Clients connect to ${at}, and get ${carried} from ${source}.`,
    "",
    given.length === 0 ? "Nothing is configured." : "Configured:",
    ...rows(given),
    "",
    "Defaults:",
    ...rows(defaults),
  ].join("\n")}\n`;
}

function rows(settings: readonly Setting[]): string[] {
  const width = Math.max(0, ...settings.map(({ key, value }) => `${key} = ${value}`.length));
  return settings.map(({ key, value, from }) => {
    const row = `${key} = ${value}`;
    return from === undefined ? `  ${row}` : `  ${row.padEnd(Math.min(width, 48))}  # ${from}`;
  });
}
