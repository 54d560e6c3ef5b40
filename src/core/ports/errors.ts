/**
 * The person who can fix an error, in StreamKit's three classes.
 *
 * - `"invalid"`: the request or the configuration is wrong. A retry fails again.
 * - `"transient"`: something outside of this process is in the way. A retry may succeed.
 * - `"fatal"`: this program is broken. Report it, and restart the process.
 */
export type ErrorClass = "invalid" | "transient" | "fatal";

/** One code of {@linkcode ERRORS}. */
interface ErrorFacts {
  readonly class: ErrorClass;
  /** Says what happened. */
  readonly meaning: string;
  /** Says what the reader can do about it. */
  readonly remedy: string;
}

/** Every code that a {@linkcode SpillwayError} can have. `npm run docs` writes `docs/errors/` from this list. */
export const ERRORS = {
  CONFIG_INVALID: {
    class: "invalid",
    meaning: "A value of the configuration is wrong, or a file that it names can't be used.",
    remedy: "Correct the keys that the message names; it has one line for each problem.",
  },
  COMMAND_INVALID: {
    class: "invalid",
    meaning: "The command line names an unknown command, or a command lacks a flag or its input.",
    remedy: "Correct the command line; `spillway --help` lists the commands and their flags.",
  },
  GATEWAY_UNREACHABLE: {
    class: "transient",
    meaning: "A command can't read a running gateway, or its clients can't connect to it.",
    remedy:
      "Start the gateway, or set `--url` to it: for `top` to its `admin_port`, if it has one, and for `tail` and `bench` to the port of its clients. If it asks for a token, show one with `--token`.",
  },
  LISTEN_FAILED: {
    class: "transient",
    meaning: "The gateway can't listen on the configured address.",
    remedy:
      "Free the port or choose another one (`port: 0` takes any free port), then start again.",
  },
  UPGRADE_UNSUPPORTED: {
    class: "invalid",
    meaning: "The server that a gateway is mounted in can't upgrade a request to a WebSocket.",
    remedy: "Pass `gateway.websocket` to the server, as the example for your runtime does.",
  },
  ABORTED: {
    class: "invalid",
    meaning: "`start` was given a signal that is already aborted.",
    remedy: "Pass a signal that isn't aborted.",
  },
  START_FAILED: {
    class: "fatal",
    meaning: "The gateway failed while it started, for a reason that it doesn't know.",
    remedy: "Report the `cause`.",
  },
  STOP_FAILED: {
    class: "fatal",
    meaning: "The gateway failed while it stopped, for a reason that it doesn't know.",
    remedy: "Report the `cause`, and end the process.",
  },
  STOP_TIMEOUT: {
    class: "transient",
    meaning: "The gateway didn't stop in the time that `stop` was given. It continues to stop.",
    remedy: "Call `stop` again to wait longer, or end the process.",
  },
  TIMEOUT_INVALID: {
    class: "invalid",
    meaning: "`stop` was given a timeout that is negative, not a number, or longer than 24 hours.",
    remedy: "Pass 0 to 86400000 milliseconds.",
  },
  SETUP_FAILED: {
    class: "fatal",
    meaning: "A gateway can't be created, for a reason that it doesn't know.",
    remedy: "Report the `cause`.",
  },
  WORKER_FAILED: {
    class: "fatal",
    meaning:
      "A process of a gateway with several `workers` can't be started, or all of them end again and again soon after their start.",
    remedy:
      "Correct what the process itself has said, just before; its lines in the log have its number.",
  },
  TELEMETRY_INVALID: {
    class: "invalid",
    meaning:
      "A variable `OTEL_…` of OpenTelemetry has a value that isn't supported, or asks for packages that aren't installed.",
    remedy: "Correct the variable or install the packages; the message names them.",
  },
  RESTART_NEEDED: {
    class: "invalid",
    meaning:
      "A reload would change a key that can't change while the gateway runs. Nothing was changed.",
    remedy: "Restart the gateway, or take back the changes that the message names and reload.",
  },
  SUBJECT_INVALID: {
    class: "invalid",
    meaning: "A text is no NATS subject, or has wildcards where none are allowed.",
    remedy: "Correct the subject; the message names it and the rule.",
  },
  PUBLISH_FAILED: {
    class: "transient",
    meaning: "`publish` was called while the gateway isn't running, or its source isn't connected.",
    remedy: "Publish again later; `stats().source` says whether the source is connected.",
  },
  PUBLISH_UNSUPPORTED: {
    class: "invalid",
    meaning: "`publish` was called, and the source that was handed in has no `publish`.",
    remedy: "Publish where that source gets its messages from.",
  },
  REVOCATION_INVALID: {
    class: "invalid",
    meaning:
      "`revoke` was called with neither or both of `jti` and `sub`, or with something that isn't valid.",
    remedy: "Correct the call; the message names the rule.",
  },
  REVOKE_FAILED: {
    class: "transient",
    meaning:
      "`revoke` had effect on this gateway, but NATS didn't take the revocation, so other gateways don't know of it.",
    remedy: "Call `revoke` again.",
  },
  NATS_OPTIONS: {
    class: "invalid",
    meaning: "The addresses or credentials of NATS contradict each other or can't be read.",
    remedy: "Correct `nats_url` and the other `nats_…` keys.",
  },
  NATS_UNREACHABLE: {
    class: "transient",
    meaning: "No NATS server answers. The gateway retries by itself.",
    remedy: "Start NATS, or correct `nats_url`.",
  },
  NATS_DENIED: {
    class: "transient",
    meaning: "NATS refuses the login. The gateway retries by itself.",
    remedy: "Correct the credentials, or the account at NATS.",
  },
  STREAM_REFUSED: {
    class: "invalid",
    meaning: "JetStream refuses to let a stream be read.",
    remedy: "Give the user at NATS the permissions that the README lists.",
  },
  SOURCE_STARTED: {
    class: "invalid",
    meaning: "A source was started twice.",
    remedy: "Give each gateway a source of its own.",
  },
  NAME_INVALID: {
    class: "invalid",
    meaning: "The name of a StreamKit factory or instance has characters that aren't allowed.",
    remedy: "Use 1 to 64 of `A-Z a-z 0-9 _ . -`.",
  },
  ENTRY_INVALID: {
    class: "invalid",
    meaning:
      "An entry of a StreamKit flow is no object, or has an unknown key or a wrong `enabled`.",
    remedy: "Correct the entry; the message names the key.",
  },
  FACTORY_EXISTS: {
    class: "invalid",
    meaning: "A StreamKit registry already has a factory of this name.",
    remedy: "Register each factory once.",
  },
  FACTORY_UNKNOWN: {
    class: "invalid",
    meaning: "A flow's entry names a factory that the registry doesn't have.",
    remedy: "Register the factory first, or correct the entry's `name`.",
  },
  FACTORY_FAILED: {
    class: "fatal",
    meaning: "A StreamKit factory threw an error that isn't Spillway's.",
    remedy: "See the `cause`.",
  },
  TYPE_MISMATCH: {
    class: "invalid",
    meaning: "A flow's entry has another `type` than the factory's components.",
    remedy: "Correct the entry's `type` or `name`.",
  },
  INSTANCE_EXISTS: {
    class: "invalid",
    meaning: "A StreamKit registry already has a component of this name.",
    remedy: "Choose another instance name, or remove the other component first.",
  },
  ADDRESS_TAKEN: {
    class: "invalid",
    meaning: "Another component of the StreamKit registry has the same port.",
    remedy: "Choose another port.",
  },
} as const satisfies Readonly<Record<string, ErrorFacts>>;

/** The code of a {@linkcode SpillwayError}; `docs/errors/` has a page for each one: what it means and what to do. */
export type ErrorCode = keyof typeof ERRORS;

/**
 * An error of Spillway.
 *
 * Programs read `code` and `class`, which stay the same between versions. People read `message`, which
 * names the action, the value and the rule.
 */
export class SpillwayError extends Error {
  override readonly name = "SpillwayError";
  readonly code: ErrorCode;
  readonly class: ErrorClass;
  /** The page in the package that explains this code. */
  readonly help: string;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.class = ERRORS[code].class;
    this.help = `node_modules/spillway/docs/errors/${code}.md`;
  }
}

/** Returns the text of anything that was thrown. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
