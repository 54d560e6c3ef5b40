/** The facts about an error that no gateway reports. */
interface ClientErrorFacts {
  readonly why: string;
  readonly advice: string;
}

/** The codes that `spillway/client` adds to those of the gateway's `error` frames. */
export const CLIENT_ERRORS = {
  closed: {
    why: "Your program has closed the connection or the subscription.",
    advice: "Nothing. To go on, make a new connection or subscription.",
  },
  disconnected: {
    why: "The connection was lost before an answer came, or can't be made.",
    advice:
      "Nothing for subscriptions and `publish`: the client connects again by itself. Repeat a request if that does no harm. If the client never connects, `closeCode`, the URL and the gateway's log say why.",
  },
  gap: {
    why: "Only of `messages()`: messages are missing.",
    advice: "Load the state from elsewhere, and subscribe again.",
  },
  invalid: {
    why: "Only of `messages()`: a payload doesn't fit the subscription's schema.",
    advice: "Correct the publisher or the schema.",
  },
  refused: {
    why: "The gateway closed the connection for good.",
    advice:
      "See the page of its `closeCode` in `docs/errors/`. Correct what it names, and connect again.",
  },
  slow_consumer: {
    why: "The body of the loop is slower than the messages, its buffer is full, and the policy is `disconnect`.",
    advice: "Do less in the loop, raise `buffer`, or choose another policy.",
  },
  token: {
    why: "Your function `token` failed, or gave no token within 10 s.",
    advice: "See `cause`. The client calls the function again after its back-off.",
  },
} as const satisfies Readonly<Record<string, ClientErrorFacts>>;

export type LocalErrorCode = keyof typeof CLIENT_ERRORS;
