import { z } from "zod";
import { natsUrls } from "./address.ts";
import { key } from "./key-facts.ts";
import { natsLoginKeys } from "./nats-login-keys.ts";
import { duration, integer, objects, text } from "./value-schemas.ts";

/** The name of an account, in the configuration and in what clients show. */
const ACCOUNT_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** One account: its name, and the keys of its connection to NATS. */
function account() {
  const limits = 'an object with name and a login, like {"name": "acme", "nats_creds_file": "…"}';
  return z.strictObject(
    {
      name: text(ACCOUNT_NAME, "a name: 1 to 64 of A-Z a-z 0-9 _ -"),
      nats_url: natsUrls().optional(),
      ...natsLoginKeys,
    },
    {
      error: ({ code }) => (code === "unrecognized_keys" ? undefined : `must be ${limits}`),
    },
  );
}

/** The keys of connections to NATS beside the one of `nats_url`, each for the clients that are of its account. */
export const accountKeys = {
  accounts: key(
    "advanced",
    "Connections to NATS for tenants, beside the one of nats_url: each has a name, a login (nats_user, nats_creds_file …) and perhaps a nats_url of its own. A client uses the one that is named by the account of its token, and sees nothing of the others.",
    objects(
      account(),
      'objects with name and a login, like {"name": "acme", "nats_creds_file": "…"}',
    ).prefault([]),
  ),
  max_open_accounts: key(
    "advanced",
    "The maximum number of accounts that are open at the same time, the one of nats_url not counted. Each has a connection to NATS and its own ring_bytes and other bounds, so it bounds memory and file descriptors. If all are open, one without clients is closed for a client of another account; if all have clients, that client is answered 503, or 4503 if it sends its token in auth.",
    integer(1, 10_000).prefault(100),
  ),
  account_linger: key(
    "advanced",
    "The time that the connection of an account stays open after its last client and session are gone. A client that connects within it finds recent messages in the ring, and doesn't wait for NATS; longer times keep more connections and memory. It may end earlier if max_open_accounts are open.",
    duration("1s", "24h").prefault("1m"),
  ),
};
