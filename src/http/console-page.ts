import { consolePublishScript } from "./console-publish-script.ts";
import { consoleScript } from "./console-script.ts";
import { consoleStyle } from "./console-style.ts";

export interface ConsoleOptions {
  /** The path of the WebSocket, relative to the mount point. */
  readonly path: string;
  /** The subjects that the gateway carries. */
  readonly subjects: readonly string[];
  /** Whether `POST publish/<subject>` takes messages. */
  readonly publish: boolean;
  /** Whether clients must acknowledge messages. */
  readonly acknowledges: boolean;
  /** Whether clients show a token. */
  readonly takesToken: boolean;
}

/**
 * Returns the page that shows live messages, with its script and style. It requests only the client's script, the stream,
 * and what its user publishes or asks for, relative to its own path or at `base`.
 *
 * @param base the origin of the stream, if it isn't the page's own.
 * @param nonce allows the script in the response's Content-Security-Policy; new for each response.
 */
export function consolePage(
  options: ConsoleOptions & { readonly base?: string | undefined; readonly nonce: string },
): string {
  const { path, subjects, publish, acknowledges, takesToken, base } = options;
  const nonce = escapeHtml(options.nonce);
  const hello = escapeHtml(example(subjects, "hello"));
  const demo = JSON.stringify(STATIONS.map((station) => example(subjects, station)));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Spillway</title>
<link rel="icon" href="data:image/svg+xml,${encodeURIComponent(wave("#0e7c86"))}">
<style nonce="${nonce}">${consoleStyle}</style>
</head>
<body${base === undefined ? "" : ` data-base="${escapeHtml(base)}"`} data-path="${escapeHtml(path)}" data-acknowledges="${acknowledges}" data-subjects="${escapeHtml(JSON.stringify(subjects))}" data-demo="${escapeHtml(demo)}">
<header>
  <h1>${wave("currentColor")} Spillway</h1>
  <p id="state" role="status" data-state="connecting">connecting</p>
  <button id="reconnect" type="button" hidden>Connect now</button>
  <dl>
    <div><dt>messages/s</dt><dd id="rate">0</dd></div>
    <div><dt>total</dt><dd id="total">0</dd></div>
    <div hidden><dt>missed</dt><dd id="missed">0</dd></div>
  </dl>
  <svg id="history" viewBox="0 0 59 20" preserveAspectRatio="none" aria-hidden="true">
    <polyline points="0,20 59,20" vector-effect="non-scaling-stroke"/>
  </svg>
</header>
<p id="upstream" role="status" hidden></p>
<p id="problem" role="alert" hidden></p>
<main>
  <section id="messages" aria-labelledby="messages-title">
    <h2 id="messages-title" class="unseen">Messages</h2>
    ${takesToken ? TOKEN_FORM : ""}
    <form id="filter">
      <label for="subjects">Subjects</label>
      <input id="subjects" ${PLAIN_TEXT} placeholder="${escapeHtml(subjects.join(", "))}"
        pattern="${SUBJECT_LIST}" title="Subjects separated by commas, like orders.&gt;, *.eu">
      <button>Filter</button>
      <button id="pause" type="button">Pause</button>
      <button id="clear" type="button">Clear</button>
    </form>
    <p id="held" hidden></p>
    <ol id="list" aria-label="The newest messages first"></ol>
    <p id="empty">No messages yet. The newest 200 will stand here.</p>
  </section>
  <aside>
    ${publish ? publishForm(hello) : natsHint(hello)}
    <section aria-labelledby="lags-title">
      <h2 id="lags-title">Clients that are behind</h2>
      <button id="lags-shown" type="button" aria-expanded="false" aria-controls="lags">Show</button>
      <ol id="lags" hidden></ol>
      <p id="lags-note" role="status" hidden></p>
    </section>
    <section aria-labelledby="code-title">
      <h2 id="code-title">Connect from code</h2>
      <pre id="code" tabindex="0" aria-labelledby="code-title"></pre>
    </section>
  </aside>
</main>
<script type="module" nonce="${nonce}">${consoleScript}${publish ? consolePublishScript : ""}</script>
</body>
</html>
`;
}

/** The subjects of the demo stream. */
const STATIONS = ["bergen", "lisbon", "nairobi", "osaka", "quito"];

/** Turns off a keyboard's corrections in fields for subjects and data. */
const PLAIN_TEXT = `autocomplete="off" autocapitalize="none" spellcheck="false"`;

/** A pattern for subjects: tokens without white space, and `>` only as the last one. */
const TOKENS = String.raw`(?!&gt;\.)[^\s.,]+(\.(?!&gt;\.)[^\s.,]+)*`;
const SUBJECT_LIST = String.raw`\s*${TOKENS}(\s*,\s*${TOKENS})*\s*`;

/** The page forgets the token when it is left. */
const TOKEN_FORM = `<form id="access">
      <label for="token">Token</label>
      <input id="token" type="password" ${PLAIN_TEXT} required placeholder="of a client, as programs show it">
      <button>Use</button>
    </form>`;

function publishForm(subject: string): string {
  return `<section aria-labelledby="publish-title">
      <h2 id="publish-title">Publish</h2>
      <form id="publish">
        <label for="subject">Subject</label>
        <input id="subject" value="${subject}" required ${PLAIN_TEXT}>
        <label for="payload">Payload</label>
        <textarea id="payload" rows="3" ${PLAIN_TEXT}>{"hello":"world"}</textarea>
        <button class="on">Publish</button>
        <button id="demo" type="button">Send a demo stream</button>
        <output id="outcome" for="subject payload"></output>
      </form>
    </section>`;
}

function natsHint(subject: string): string {
  return `<section aria-labelledby="source-title">
      <h2 id="source-title">Where messages come from</h2>
      <p>From NATS. Publishing from here is off; any NATS client can:</p>
      <pre tabindex="0" aria-labelledby="source-title">nats pub ${subject} '{"hello":"world"}'</pre>
    </section>`;
}

/** Returns a subject that matches the first pattern. */
function example([pattern = ">"]: readonly string[], word: string): string {
  if (pattern === ">") return `demo.${word}`;
  const tokens = pattern.split(".");
  return tokens.map((token) => (token === "*" || token === ">" ? word : token)).join(".");
}

function wave(stroke: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" fill="none" stroke="${stroke}" stroke-width="2.4" stroke-linecap="round"><path d="M3 6h7c6 0 3 8 11 8M3 11h4c5 0 4 7 14 7"/></svg>`;
}

/** Escapes a text for HTML, also for an attribute in double quotes. */
function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
}
