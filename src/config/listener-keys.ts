import { hostName, portNumber } from "./address.ts";
import { key } from "./key-facts.ts";
import { anyText, choice, list } from "./value-schemas.ts";

/** The keys of TLS, and of the listener for operators. */
export const listenerKeys = {
  tls_cert_file: key(
    "advanced",
    "A file with the certificate (PEM), and those between it and its authority. With it, both listeners speak only TLS. The files of TLS are read again when they change; open connections continue.",
    anyText("the path of a file").optional(),
  ),
  tls_key_file: key(
    "advanced",
    "A file with the private key (PEM) of tls_cert_file.",
    anyText("the path of a file").optional(),
  ),
  tls_min_version: key(
    "advanced",
    "The lowest version of TLS that is spoken.",
    choice(["1.2", "1.3"]).prefault("1.2"),
  ),
  tls_client_ca_files: key(
    "advanced",
    "Files with the authorities (PEM) of clients' certificates. With one, clients must have a certificate (mutual TLS).",
    list(anyText("the path of a file"), "paths of files").prefault([]),
  ),
  tls_client_names: key(
    "advanced",
    "The names of which a client's certificate must have one: the common name of its subject, or an alternative name of the kind DNS. By default any name.",
    list(anyText("a name"), "names").prefault([]),
  ),
  admin_host: key(
    "advanced",
    "The address that admin_port listens on. Other addresses than loopback need admin_tokens_file.",
    hostName().prefault("127.0.0.1"),
  ),
  admin_port: key(
    "advanced",
    "The TCP port for operators: metrics, health, the console, and POST /admin/revoke, /admin/drain and /admin/reload. By default there is none. Metrics, health and the console are also at port, unless clients need a token.",
    portNumber().optional(),
  ),
  admin_tokens_file: key(
    "advanced",
    'A JSON file with the SHA-256 hashes of operators\' tokens, each with its sub and its role: a "viewer" may read, an "operator" may also act. It is read again when it changes. By default operators need no token.',
    anyText("the path of a file").optional(),
  ),
};
