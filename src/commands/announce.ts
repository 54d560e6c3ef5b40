import { ANY_ADDRESS, listenerUrl } from "../config/address.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../core/ports/log.ts";
import { isLoopback } from "../http/host.ts";

/** Logs where clients connect, and hints for a first start. */
export function announce(config: Config, port: number, log: Log): void {
  const { host, path, tlsCertFile, natsUrls, accounts } = config;
  const url = listenerUrl(host, port, tlsCertFile !== undefined);
  if (natsUrls.length === 0 && accounts.length === 0) {
    log.warn(
      "No NATS is configured: messages come only from the page at {url} and from {publish}. To carry your own, set NATS_URL",
      { event: "embedded", url, publish: `POST ${url}/publish/<subject>` },
    );
  }
  if (isLoopback(host)) {
    log.info("Only this machine can connect. To let others connect, set --host 0.0.0.0", {
      event: "loopback",
    });
  }
  const stream = `${url.replace("http", "ws")}${path}`;
  const listening = ANY_ADDRESS.includes(host)
    ? "Listening on all addresses; clients on this machine connect to {stream}"
    : "Listening; clients connect to {stream}";
  log.info(listening, {
    event: "listening",
    stream,
    url,
    host,
    port,
    path,
  });
}
