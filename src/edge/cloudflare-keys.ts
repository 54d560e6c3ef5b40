import type { Config } from "../config/config.ts";
import { type Problem, ruleProblem } from "../config/problem.ts";
import { redactUrl } from "../source/servers.ts";
import type { KeyReasons } from "./open-gateway.ts";

const NO_PORT = "a Worker can't listen on a port";
const NO_CERTIFICATES = "a WebSocket takes no certificates of its own";

/** The keys that can't be set on Cloudflare Workers. */
export const UNSUPPORTED_KEYS: KeyReasons = {
  admin_host: NO_PORT,
  admin_port: NO_PORT,
  admin_tokens_file: NO_PORT,
  nats_tls_ca_file: NO_CERTIFICATES,
  nats_tls_cert_file: NO_CERTIFICATES,
  nats_tls_key_file: NO_CERTIFICATES,
  tls_cert_file: "Cloudflare does TLS",
  tls_client_ca_files: "Cloudflare does TLS",
  tls_key_file: "Cloudflare does TLS",
};

const NO_PINGS = "a Worker can't send pings";

/** The keys that have no effect on Cloudflare Workers. */
export const UNUSED_KEYS: KeyReasons = {
  compression: "Workers compress by themselves",
  compression_threshold_bytes: "Workers compress by themselves",
  drain_delay: "Cloudflare stops a Durable Object without telling it",
  drain_window: "Cloudflare stops a Durable Object without telling it",
  host: NO_PORT,
  mark_bytes: NO_PINGS,
  mark_interval: NO_PINGS,
  max_lag: NO_PINGS,
  port: NO_PORT,
  sockets: "Workers have their own ones",
  stop_timeout: "Cloudflare stops a Durable Object without telling it",
  target_lag: NO_PINGS,
  trusted_proxies: "Cloudflare says the address of a client",
};

/** Returns the problems of the addresses of NATS: a Durable Object reaches it by WebSocket alone. */
export function natsUrlProblems({ natsUrls, accounts }: Config): Problem[] {
  const rule =
    "begin with wss:// or ws:// on Cloudflare Workers, where NATS is reached by WebSocket";
  const problemsOf = (key: string, urls: readonly string[]): Problem[] =>
    urls
      .filter((url) => !/^wss?:\/\//i.test(url))
      .map((url) => ruleProblem(key, redactUrl(url), rule));
  return [
    ...problemsOf("nats_url", natsUrls),
    ...accounts.flatMap(({ natsUrls: urls = [] }, index) =>
      problemsOf(`accounts[${index}].nats_url`, urls),
    ),
  ];
}
