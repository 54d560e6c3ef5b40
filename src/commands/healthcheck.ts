import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Config } from "../config/config.ts";
import { reasonOf } from "../core/ports/errors.ts";
import { EXIT, type Invocation } from "./command.ts";
import { HEALTHCHECK_FLAGS, HEALTHCHECK_TIMEOUT, JSON_FLAG } from "./command-flags.ts";
import { readConfig } from "./load-config.ts";
import { readDuration } from "./read-flags.ts";

/** Addresses that stand for all of this machine, and the one to connect to. */
const ALL_ADDRESSES: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** Asks the gateway that runs with this configuration whether it is ready. */
export async function checkHealth(invocation: Invocation): Promise<number> {
  const { write, writeError } = invocation;
  const { config, texts } = await readConfig(invocation, HEALTHCHECK_FLAGS);
  const timeoutMs = readDuration(texts, "--timeout", HEALTHCHECK_TIMEOUT);
  const answer = await askReadiness(config, timeoutMs);
  if (texts.has(JSON_FLAG.name)) write(`${JSON.stringify(answer)}\n`);
  else if (answer.ready) write("ready\n");
  else writeError(`not ready: ${answer.reasons.join("; ")}\n`);
  return answer.ready ? EXIT.done : EXIT.failed;
}

interface Answer {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

/** Asks `/readyz` on the port for operators, or without one on the port for clients. */
async function askReadiness(config: Config, timeoutMs: number): Promise<Answer> {
  const { adminHost, adminPort, host, port, tlsCertFile, tlsClientCaFiles } = config;
  const listener =
    adminPort === undefined
      ? { host, port, key: "port" }
      : { host: adminHost, port: adminPort, key: "admin_port" };
  const notReady = (reason: string): Answer => ({ ready: false, reasons: [reason] });
  if (listener.port === 0) {
    return notReady(`"${listener.key}" is 0, so the port of the gateway is not known: set it`);
  }
  if (tlsClientCaFiles.length > 0) {
    return notReady(
      'clients need a certificate ("tls_client_ca_files"), and a health check has none',
    );
  }
  const isSecure = tlsCertFile !== undefined;
  const hostname = ALL_ADDRESSES[listener.host] ?? listener.host;
  const options = {
    ...{
      hostname,
      port: listener.port,
      path: "/readyz",
      timeout: timeoutMs,
      agent: false as const,
    },
    signal: AbortSignal.timeout(timeoutMs),
    // The gateway may refuse other names than localhost.
    ...(hostname !== listener.host && { headers: { host: `localhost:${listener.port}` } }),
    // The certificate is for the name that clients know, and the gateway is on this machine.
    rejectUnauthorized: false,
  };
  const at = `${isSecure ? "https" : "http"}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${listener.port}`;
  try {
    const body = await new Promise<string>((resolve, reject) => {
      const request = (isSecure ? httpsRequest : httpRequest)(options, (response) => {
        let received = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          received += chunk;
        });
        response.on("end", () => resolve(received)).on("error", reject);
      });
      request.on("error", reject).end();
    });
    return (
      answerIn(body) ??
      notReady(`${at} is not this gateway: it gave another answer. Set ${listener.key}`)
    );
  } catch (error) {
    const isLate = error instanceof Error && /abort|timeout/i.test(error.name);
    return notReady(
      isLate
        ? `${at} gave no answer in ${timeoutMs} ms. Look at the log of the gateway, or raise --timeout`
        : `${at} gave no answer: ${reasonOf(error)}. Start the gateway, or set ${listener.key}`,
    );
  }
}

function answerIn(body: string): Answer | undefined {
  try {
    const { ready, reasons } = JSON.parse(body) as Partial<Answer>;
    return typeof ready === "boolean" && Array.isArray(reasons) ? { ready, reasons } : undefined;
  } catch {
    return undefined;
  }
}
