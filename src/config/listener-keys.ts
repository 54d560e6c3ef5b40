import { hostName, portNumber } from "./address.ts";
import { key } from "./key-facts.ts";
import { anyText } from "./value-schemas.ts";

/** The keys of the listener for operators. */
export const listenerKeys = {
  admin_host: key(
    "advanced",
    "The address that admin_port listens on. Other addresses than loopback need admin_tokens_file.",
    hostName().prefault("127.0.0.1"),
  ),
  admin_port: key(
    "advanced",
    "The TCP port for operators: metrics, health, the console and POST /admin/revoke. By default there is none, and these pages are at port, unless clients need a token.",
    portNumber().optional(),
  ),
  admin_tokens_file: key(
    "advanced",
    'A JSON file with the SHA-256 hashes of operators\' tokens, each with its sub and its role: a "viewer" may read, an "operator" may also act. It is read again when it changes. By default operators need no token.',
    anyText("the path of a file").optional(),
  ),
};
