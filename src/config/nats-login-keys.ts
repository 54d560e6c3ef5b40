import { key } from "./key-facts.ts";
import { anyText } from "./value-schemas.ts";

const filePath = () => anyText("the path of a file");

/** The keys of how the gateway logs in to NATS, and of TLS to it. */
export const natsLoginKeys = {
  nats_user: key("advanced", "The user to log in to NATS as.", anyText().optional()),
  nats_password: key("advanced", "The password of nats_user.", anyText().optional(), "value"),
  nats_token: key("advanced", "The token to log in to NATS with.", anyText().optional(), "value"),
  nats_password_file: key(
    "advanced",
    "A file with the password of nats_user, in one line, instead of nats_password.",
    filePath().optional(),
  ),
  nats_token_file: key(
    "advanced",
    "A file with the token to log in to NATS with, in one line, instead of nats_token.",
    filePath().optional(),
  ),
  nats_nkey_file: key(
    "advanced",
    "A file with the NKey seed to log in to NATS with. Like the other files, it is read again at each connect.",
    filePath().optional(),
  ),
  nats_creds_file: key(
    "advanced",
    "A file with the credentials (a JWT and its seed) to log in to NATS with.",
    filePath().optional(),
  ),
  nats_tls_ca_file: key(
    "advanced",
    "A file with the CA certificates (PEM) that the NATS server's certificate is checked against, instead of the system's.",
    filePath().optional(),
  ),
  nats_tls_cert_file: key(
    "advanced",
    "A file with the client certificate (PEM) to present to NATS.",
    filePath().optional(),
  ),
  nats_tls_key_file: key(
    "advanced",
    "A file with the private key (PEM) of nats_tls_cert_file.",
    filePath().optional(),
  ),
};
