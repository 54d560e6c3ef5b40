import { listenerUrl } from "./address.ts";
import type { LoadedConfig } from "./load.ts";
import type { Setting } from "./settings.ts";

/**
 * Returns what `spillway check` prints about a valid configuration: each key with its value, without secrets.
 *
 * @param dim makes a text less bright. Default: it stays as it is.
 */
export function checkReport(
  { config, settings, notices }: LoadedConfig,
  dim: (text: string) => string = (text) => text,
): string {
  const { host, port, path, subjects, streams, natsUrls, accounts, tlsCertFile } = config;
  const url = listenerUrl(host, port, tlsCertFile !== undefined);
  const at = port === 0 ? "any free port" : `${url.replace("http", "ws")}${path}`;
  const carried = [...subjects, ...streams.map((stream) => `stream ${stream}`)].join(", ");
  const hasNats = natsUrls.length > 0 || accounts.length > 0;
  const source = hasNats ? "NATS" : "an in-memory source";
  const given = settings.filter(({ from }) => from !== undefined);
  const defaults = settings.filter(({ from, value }) => from === undefined && value !== undefined);
  return `${[
    "The configuration is valid.",
    "",
    ...notices.map((notice) => `Warning: ${notice}.`),
    `Clients connect to ${at}, and get ${carried} from ${source}.`,
    "",
    given.length === 0 ? "Nothing is configured." : "Configured:",
    ...settingRows(given, dim),
    "",
    "Defaults:",
    ...settingRows(defaults, dim),
  ].join("\n")}\n`;
}

/** Returns a line for each setting, with its source if it is not a default. */
export function settingRows(settings: readonly Setting[], dim: (text: string) => string): string[] {
  const width = Math.max(0, ...settings.map(({ key, value }) => `${key} = ${value}`.length));
  return settings.map(({ key, value, from }) => {
    const row = `${key} = ${value}`;
    return from === undefined
      ? `  ${row}`
      : `  ${row.padEnd(Math.min(width, 48))}  ${dim(`# ${from}`)}`;
  });
}
