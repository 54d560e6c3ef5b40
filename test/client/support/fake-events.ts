/** A request that a test answers. */
export class FakeRequest {
  readonly url: string;
  readonly init: RequestInit;
  readonly #answer: (response: Response) => void;
  readonly #fail: (error: unknown) => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(
    url: string,
    init: RequestInit,
    answer: (response: Response) => void,
    fail: (error: unknown) => void,
  ) {
    this.url = url;
    this.init = init;
    this.#answer = answer;
    this.#fail = fail;
    init.signal?.addEventListener("abort", () => {
      const error = new Error("aborted");
      fail(error);
      this.#controller?.error(error);
      this.#controller = undefined;
    });
  }

  get isAborted(): boolean {
    return this.init.signal?.aborted === true;
  }

  get query(): Record<string, string> {
    return Object.fromEntries(new URL(this.url).searchParams);
  }

  fail(): void {
    this.#fail(new TypeError("Failed to fetch"));
  }

  answer(status: number, body?: object, headers: Record<string, string> = {}): void {
    this.#answer(new Response(body && JSON.stringify(body), { status, headers }));
  }

  /** Answers with a stream of events, which begins with `subscribed`. */
  stream(from = "S:e:0"): void {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
    });
    const headers = { "Content-Type": "text/event-stream; charset=utf-8" };
    this.#answer(new Response(body, { status: 200, headers }));
    const terms = { subjects: ["a.b"], policy: "drop-oldest", from };
    this.say(
      "event: welcome",
      `data: ${JSON.stringify({ type: "welcome", upstream: "connected" })}`,
    );
    this.say(
      "event: subscribed",
      `data: ${JSON.stringify({ type: "subscribed", id: "", sub: "", ...terms })}`,
    );
  }

  /** Sends the lines of an event. */
  say(...lines: readonly string[]): void {
    this.write(`${lines.join("\n")}\n\n`);
  }

  write(text: string): void {
    this.#controller?.enqueue(new TextEncoder().encode(text));
  }

  /** The stream ends. */
  end(): void {
    this.#controller?.close();
    this.#controller = undefined;
  }
}

/** Requests by `fetch`, which a test answers. */
export class FakeFetch {
  readonly requests: FakeRequest[] = [];
  /** Called with each request. */
  asked: (request: FakeRequest) => void = () => {};

  readonly fetch = (async (url: string, init: RequestInit = {}) =>
    await new Promise<Response>((answer, fail) => {
      const request = new FakeRequest(url, init, answer, fail);
      this.requests.push(request);
      this.asked(request);
    })) as unknown as typeof fetch;

  /** The requests for subscriptions that the client has not given up. */
  get streams(): FakeRequest[] {
    return this.requests.filter(({ url, isAborted }) => url.includes("/sse?") && !isAborted);
  }
}
