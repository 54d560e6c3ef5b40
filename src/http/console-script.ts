/**
 * The console's script, which uses the client that the gateway serves at `/client.js`. It adds received data to the page as
 * text, never as HTML. Messages wait unparsed for the next drawing. If there are many, only the newest are drawn, so that
 * the page stays responsive.
 */
export const consoleScript = String.raw`
const MAX_ROWS = 200;
const DRAW_MS = 100;
const MAX_PATTERNS = 64;
// More than one frame of the gateway has.
const BUFFER = 100000;
const HEAD = '{"type":"data","id":"';

const byId = (id) => document.getElementById(id);
const { path } = document.body.dataset;
const acknowledges = document.body.dataset.acknowledges === "true";
const exposed = JSON.parse(document.body.dataset.subjects);
// The page's path may end with a slash or not, and have any prefix.
const own = location.origin + location.pathname.replace(/\/+$/, "");
const base = document.body.dataset.base ?? own;
const list = byId("list");
const subjects = byId("subjects");

function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

// --- The connection

const { connect, MemoryCursors, openWebSocket } = await import(own + "/client.js");

let connection;
// The places of the subscriptions, where another connection continues.
const cursors = new MemoryCursors();
// The token that the user entered last; it is stored nowhere else.
let token = "";
// Takes the next token, when the last one expires.
let giveToken;
const access = byId("access");

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

// Messages as they are on the wire, by id: JSON.parse would change large numbers.
const lines = new Map();

class KeepingSocket extends WebSocket {
  constructor(...target) {
    super(...target);
    // It is called before the client's own listener.
    this.addEventListener("message", ({ data }) => {
      for (const line of data.split("\n")) {
        if (line.startsWith(HEAD)) lines.set(line.slice(HEAD.length, line.indexOf('"', HEAD.length)), line);
      }
    });
  }
}

// The token is sent in a frame: a handshake that is refused doesn't say why.
function open(target, events, platform) {
  return openWebSocket({ ...target, token: undefined }, events, platform);
}

function tokenFor(why) {
  if (why === "connect") return token;
  showProblem("The token expires soon: enter a new one");
  return new Promise((resolve) => { giveToken = resolve; });
}

function reconnect() {
  void connection?.close();
  const mine = connect(base + path, {
    ...{ cursors, transport: open, platform: { WebSocket: KeepingSocket } },
    ...(token !== "" && { token: tokenFor }),
  });
  connection = mine;
  giveToken = undefined;
  let isSubscribed = false;
  let why = "";
  const show = ({ type, untilMs, error }) => {
    if (mine !== connection) return;
    if (type === "open" && isSubscribed) return showState("open", "open");
    if (type === "open") return showState("connecting", "subscribing");
    // The state of NATS is unknown now.
    showUpstream("connected");
    if (type === "connecting") return showState("connecting", "connecting");
    if (type === "idle") return showState("closed", "closed until the page is visible");
    if (type === "waiting") return showState("closed", why + ", again in " + ((untilMs - Date.now()) / 1000).toFixed(1) + " s");
    const wantsToken = error?.code === "unauthenticated" && token === "";
    showState("closed", "closed: " + (wantsToken ? "enter a token to connect" : why));
    byId("reconnect").hidden ||= wantsToken;
  };
  mine.on("state", show);
  mine.on("upstream", (state) => mine === connection && showUpstream(state));
  mine.on("error", ({ code, message, retryable }) => {
    if (mine !== connection) return;
    why = message;
    if (code === "unauthenticated" && token !== "") {
      connection = undefined;
      void mine.close();
      showState("closed", "closed: " + message);
      byId("reconnect").hidden = true;
    } else if (code === "forbidden") beginAnew();
    else if (code !== "disconnected" && code !== "token" && code !== "refused" && !retryable) showProblem(message);
  });
  show(mine.state);
  const wanted = wantedSubjects();
  const all = wanted.length > 0 ? wanted : exposed;
  for (let at = 0; at < all.length; at += MAX_PATTERNS) {
    void read(mine, all.slice(at, at + MAX_PATTERNS), String(at), () => {
      isSubscribed = true;
      showProblem("");
      show(mine.state);
    });
  }
}

// drop-oldest: a page in the background stays connected, and gets the number of missed messages.
async function read(mine, patterns, session, subscribed) {
  try {
    const subscription = mine.subscribe(patterns, { policy: "drop-oldest", buffer: BUFFER, session });
    subscription.ready.then(() => mine === connection && subscribed(), () => {});
    for await (const item of subscription) {
      if (mine !== connection) return;
      if (item.type === "data") receive(item.id);
      else if (item.type === "gap") miss(item);
    }
  } catch (error) {
    if (mine !== connection || mine.state.type === "closed") return;
    showProblem(error.message);
    showState("open", "open, but nothing is subscribed to");
  }
}

// Connects for other subjects or another user: without a cursor.
function beginAnew() {
  clear();
  showProblem("");
  cursors.clear();
  lines.clear();
  reconnect();
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

function receive(id) {
  const line = lines.get(id);
  // Another subscription has brought it, too.
  if (line === undefined) return;
  lines.delete(id);
  received += 1;
  waiting += 1;
  keep(line);
}

function keep(one) {
  pending.push(one);
  if (pending.length >= 2 * MAX_ROWS) pending.splice(0, MAX_ROWS);
  drawSoon();
}

// --- Missed messages

let missed = 0;
// Whether there are gaps of an unknown number of messages.
let missedMore = false;

const REASONS = {
  slow: "this page was too slow",
  buffer: "this page was too slow",
  expired: "they are no longer kept",
  stream_reset: "the gateway or the stream began anew",
  upstream: "the gateway was cut off from NATS, or had not subscribed",
  max_deliver: "they were sent too often without an acknowledgement",
  session_expired: "the session has ended",
};

function miss(gap) {
  if (!gap.exact) missedMore = true;
  else missed += gap.count;
  const number = missed.toLocaleString("en");
  byId("missed").textContent = !missedMore ? number : missed > 0 ? number + " or more" : "some";
  byId("missed").parentElement.hidden = false;
  keep(gap);
}

function gapRow({ count, exact, reason }) {
  const number = count.toLocaleString("en");
  const what =
    exact ? number + (count === 1 ? " message" : " messages") + " missed"
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
  if (typeof data !== "string") return gapRow(data);
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

// --- Clients that are behind

const LAG_MS = 1000;
// A client whose messages are in flight for less time isn't behind.
const LEAST_LAG_S = 0.1;
let lagTimer;

async function showLags() {
  const note = byId("lags-note");
  try {
    // The page's own gateway answers, also if clients connect elsewhere.
    const response = await fetch(location.pathname.replace(/\/+$/, "") + "/healthz");
    const { lag } = await response.json();
    const behind = lag.furthest.filter(({ seconds }) => seconds >= LEAST_LAG_S);
    byId("lags").replaceChildren(...behind.map(lagRow));
    note.textContent = behind.length === 0 ? "No client is behind." : "The log has these numbers, too.";
  } catch (error) {
    byId("lags").replaceChildren();
    note.textContent = "Not known: " + error.message;
  }
  if (!note.hidden) lagTimer = setTimeout(showLags, LAG_MS);
}

function lagRow({ id, seconds, bytes }) {
  const size = Math.ceil(bytes / 1000).toLocaleString("en") + " kB";
  return make("li", "", "client " + id + ": " + seconds.toFixed(1) + " s, " + size);
}

byId("lags-shown").onclick = ({ target }) => {
  const shows = byId("lags").hidden;
  byId("lags").hidden = byId("lags-note").hidden = !shows;
  target.textContent = shows ? "Hide" : "Show";
  target.setAttribute("aria-expanded", String(shows));
  clearTimeout(lagTimer);
  if (shows) void showLags();
};

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
  showCode();
  beginAnew();
};
if (access) access.onsubmit = (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  byId("token").value = "";
  // A connection takes new tokens of the same user.
  if (giveToken === undefined) return beginAnew();
  showProblem("");
  giveToken(token);
  giveToken = undefined;
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
reconnect();
`;
