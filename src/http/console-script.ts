/**
 * The console's script, a client of `spillway.v1.json`. It adds received data to the page as text, never as HTML.
 * Messages wait unparsed for the next drawing. If there are many, only the newest are parsed, so that the page stays
 * responsive.
 */
export const consoleScript = String.raw`
"use strict";
const MAX_ROWS = 200;
const DRAW_MS = 100;
const MAX_BACKOFF_MS = 15000;
const STEADY_MS = 5000;
const MAX_PATTERNS = 64;
const HEAD = '{"type":"data","id":"';

const byId = (id) => document.getElementById(id);
const { path, start } = document.body.dataset;
const acknowledges = document.body.dataset.acknowledges === "true";
const exposed = JSON.parse(document.body.dataset.subjects);
// The page's path may end with a slash or not, and have any prefix.
const base = document.body.dataset.base ?? location.origin + location.pathname.replace(/\/+$/, "");
const list = byId("list");
const subjects = byId("subjects");

function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

// --- The connection

let socket;
let retry;
let failures = 0;
// The cursor to resume from after a reconnect; undefined before the first message.
let cursor;
// In at-least-once: the session that a reconnect resumes.
let session;

function wantedSubjects() {
  return subjects.value.split(",").map((one) => one.trim()).filter(Boolean);
}

// The URL of a plain client, which the page shows.
function streamUrl() {
  const wanted = wantedSubjects().join(",");
  // These characters are allowed in a query, and easier to read unescaped.
  const query = encodeURIComponent(wanted).replaceAll("%2C", ",").replaceAll("%3E", ">");
  return base.replace(/^http/, "ws") + path + (wanted && "?subjects=" + query);
}

function connect() {
  clearTimeout(retry);
  // The code 1000 ends the session.
  socket?.close(1000);
  const url = base.replace(/^http/, "ws") + path + (session ? "?session=" + session : "");
  const mine = new WebSocket(url, "spillway.v1.json");
  let openedAt = 0;
  let goodbye;
  // In bytes; each character of a cursor is one byte.
  let maxFrame = 1024;
  socket = mine;
  showState("connecting", "connecting");
  mine.onopen = () => {
    if (mine !== socket) return;
    openedAt = Date.now();
    showState("connecting", "subscribing");
  };
  mine.onmessage = ({ data }) => {
    if (mine !== socket) return;
    const ids = [];
    for (const line of data.split("\n")) {
      if (line.startsWith(HEAD)) ids.push(receive(line));
      else hear(JSON.parse(line), line);
    }
    if (ids.length > 0) cursor = ids.at(-1);
    if (acknowledges) for (const frame of ackFrames(ids, maxFrame)) mine.send(frame);
  };
  function hear(frame, line) {
    if (frame.type === "welcome") {
      maxFrame = frame.limits.max_frame_bytes;
      showUpstream(frame.upstream);
      if (frame.delivery) session = frame.session;
      // A resumed session still has its subscriptions; "subscribed" confirms them.
      if (!frame.delivery?.resumed) for (const request of requests()) mine.send(request);
    } else if (frame.type === "subscribed") {
      // Until a first value came, a subscription to the latest values starts with them again.
      if (start === "new" || start === "all") cursor ??= frame.from;
      showProblem("");
      showState("open", "open");
    } else if (frame.type === "upstream") {
      showUpstream(frame.state);
    } else if (frame.type === "gap") {
      miss(frame, line);
    } else if (frame.type === "error") {
      showProblem("Refused: " + frame.error.message);
      if (byId("state").dataset.state !== "open") showState("open", "open, but nothing is subscribed to");
    } else if (frame.type === "disconnect") {
      goodbye = frame;
      cursor = frame.cursor ?? cursor;
    }
  }
  mine.onclose = ({ code, reason }) => {
    if (mine !== socket) return;
    const how = "closed with " + code + (reason && " (" + reason + ")");
    // The state of NATS is unknown now.
    showUpstream("connected");
    // 44xx: a reconnect would end the same way.
    if (goodbye?.reconnect === false || (code >= 4400 && code < 4500)) return showState("closed", how);
    failures = openedAt > 0 && Date.now() - openedAt > STEADY_MS ? 0 : failures + 1;
    const backoff = Math.random() * Math.min(MAX_BACKOFF_MS, 250 * 2 ** failures);
    const wait = Math.max(backoff, goodbye?.retry_after_ms ?? 0);
    retry = setTimeout(connect, wait);
    showState("closed", how + ", again in " + (wait / 1000).toFixed(1) + " s");
  };
}

// drop-oldest: a page in the background stays connected, and gets the number of missed messages.
function requests() {
  const wanted = wantedSubjects();
  const all = wanted.length > 0 ? wanted : exposed;
  const from = cursor && { after: cursor };
  const frames = [];
  for (let at = 0; at < all.length; at += MAX_PATTERNS) {
    const patterns = all.slice(at, at + MAX_PATTERNS);
    const id = String(frames.length + 1);
    frames.push(JSON.stringify({ type: "subscribe", id, subjects: patterns, policy: "drop-oldest", from }));
  }
  return frames;
}

// One frame for several acks, because the number of frames a second is limited.
function ackFrames(ids, maxFrame) {
  const frames = [];
  let part = [];
  let length = 32;
  for (const id of ids) {
    if (part.length > 0 && length + id.length + 3 > maxFrame) {
      frames.push(part);
      part = [];
      length = 32;
    }
    part.push(id);
    length += id.length + 3;
  }
  if (part.length > 0) frames.push(part);
  return frames.map((ids) => JSON.stringify({ type: "ack", ids }));
}

function reconnect() {
  failures = 0;
  connect();
}

function showState(state, text) {
  byId("state").dataset.state = state;
  byId("state").textContent = text;
  byId("reconnect").hidden = state !== "closed";
}

function showUpstream(state) {
  const away = state === "disconnected";
  if (byId("upstream").hidden !== away) return;
  byId("upstream").hidden = !away;
  byId("upstream").textContent = away
    ? "NATS is away since " + clock.format(Date.now()).slice(0, 8) + ": no new messages until it is back"
    : "";
}

function showProblem(text) {
  byId("problem").hidden = text === "";
  byId("problem").textContent = text;
}

// --- Messages

const pending = [];
let received = 0;
let waiting = 0;
let frame = 0;
let drawnAt = 0;
let paused = false;

// Takes a message and returns its id without parsing the message: the id is first, and has no
// characters that JSON escapes.
function receive(line) {
  received += 1;
  waiting += 1;
  keep(line);
  return line.slice(HEAD.length, line.indexOf('"', HEAD.length));
}

function keep(line) {
  pending.push(line);
  if (pending.length >= 2 * MAX_ROWS) pending.splice(0, MAX_ROWS);
  drawSoon();
}

// --- Missed messages

let missed = 0;
// Whether there are gaps of an unknown number of messages.
let missedMore = false;

const REASONS = {
  slow: "this page was too slow",
  expired: "they are no longer kept",
  stream_reset: "the gateway or the stream began anew",
  upstream: "the gateway was cut off from NATS, or had not subscribed",
  max_deliver: "they were sent too often without an acknowledgement",
  session_expired: "the session has ended",
};

function miss(gap, line) {
  if (gap.exact === false) missedMore = true;
  else missed += gap.count;
  const number = missed.toLocaleString("en");
  byId("missed").textContent = !missedMore ? number : missed > 0 ? number + " or more" : "some";
  byId("missed").parentElement.hidden = false;
  keep(line);
}

function gapRow({ count, exact, reason }) {
  const number = count.toLocaleString("en");
  const what =
    exact !== false ? number + (count === 1 ? " message" : " messages") + " missed"
    : count > 0 ? "Up to " + number + " messages missed"
    : "Messages may be missing here";
  return make("li", "gap", what + ": " + (REASONS[reason] ?? reason));
}

// --- Drawing

function drawSoon() {
  frame ||= requestAnimationFrame(draw);
}

function draw(now) {
  frame = 0;
  // A row stays in place while it is open or has the focus.
  const held = paused || list.querySelector("details[open], summary:focus-visible") !== null;
  byId("held").hidden = !held || waiting === 0;
  byId("held").textContent = waiting.toLocaleString("en") + " newer, held back " +
    (paused ? "by the pause" : "while you read");
  if (held || pending.length === 0) return;
  if (now - drawnAt < DRAW_MS) return drawSoon();
  drawnAt = now;
  waiting = 0;
  list.prepend(...pending.splice(0).slice(-MAX_ROWS).reverse().map(row));
  while (list.childElementCount > MAX_ROWS) list.lastElementChild.remove();
  byId("empty").hidden = true;
}

const clock = new Intl.DateTimeFormat("en", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});

// Numbers keep their digits: JavaScript would change them above 2^53.
const asWritten = (key, value, context) =>
  typeof value === "number" && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;

function row(data) {
  if (!data.startsWith(HEAD)) return gapRow(JSON.parse(data));
  const { id, timestamp, subject, encoding } = JSON.parse(data);
  const payload = JSON.parse(data, asWritten).payload;
  const isText = encoding === "text" || encoding === "base64";
  const item = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const time = make("time", "", clock.format(timestamp));
  time.dateTime = new Date(timestamp).toISOString();
  const line = encoding === "empty" ? "" : isText ? payload : JSON.stringify(payload);
  summary.append(
    time,
    make("span", "subject", subject),
    make("span", "mark", encoding ?? "json"),
    make("span", "preview", line.slice(0, 200)),
  );
  details.append(summary);
  details.ontoggle = () => {
    if (details.open && details.childElementCount === 1) {
      const whole = encoding === "empty" ? "(no data)" : isText ? payload : JSON.stringify(payload, null, 2);
      const body = make("pre", "", whole);
      body.tabIndex = 0;
      details.append(body, make("p", "", "id " + id + ", " + time.dateTime));
    }
    drawSoon();
  };
  item.append(details);
  return item;
}

function clear() {
  list.replaceChildren();
  pending.length = 0;
  waiting = 0;
  byId("empty").hidden = false;
  drawSoon();
}

// --- Figures

const rates = new Array(60).fill(0);
let countedAt = performance.now();
let counted = 0;

function showFigures() {
  const now = performance.now();
  const rate = (received - counted) / ((now - countedAt) / 1000);
  countedAt = now;
  counted = received;
  rates.push(rate);
  rates.shift();
  const top = Math.max(1, ...rates);
  const points = rates.map((value, index) => index + "," + (20 - (19 * value) / top).toFixed(1));
  byId("history").firstElementChild.setAttribute("points", points.join(" "));
  byId("rate").textContent = Math.round(rate).toLocaleString("en");
  byId("total").textContent = received.toLocaleString("en");
}

// --- What the user does

function showCode() {
  byId("code").textContent = [
    'const url = "' + streamUrl() + '";',
    "const socket = new WebSocket(url);",
    "socket.onmessage = ({ data }) => {",
    "  console.log(JSON.parse(data));",
    acknowledges && '  socket.send(JSON.stringify({ type: "ack", id: JSON.parse(data).id }));',
    "};",
  ].filter(Boolean).join("\n");
}

byId("filter").onsubmit = (event) => {
  event.preventDefault();
  const page = new URL(location.href);
  page.searchParams.delete("subjects");
  if (subjects.value.trim()) page.searchParams.set("subjects", subjects.value.trim());
  history.replaceState(null, "", page);
  clear();
  showCode();
  showProblem("");
  // Other subjects start without a cursor.
  cursor = session = undefined;
  reconnect();
};
byId("pause").onclick = () => {
  paused = !paused;
  byId("pause").textContent = paused ? "Resume" : "Pause";
  byId("pause").classList.toggle("on", paused);
  drawSoon();
};
list.addEventListener("focusout", drawSoon);
byId("clear").onclick = clear;
byId("reconnect").onclick = reconnect;

subjects.value = new URLSearchParams(location.search).get("subjects") ?? "";
showCode();
setInterval(showFigures, 1000);
connect();
`;
