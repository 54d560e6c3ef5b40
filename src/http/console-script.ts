/**
 * The console's script. What comes from outside goes into the page as text, never as HTML.
 * Messages wait, as they came, for the next drawing; of many the newest alone are read at all,
 * so that a page stays at ease with more messages than anybody could see.
 */
export const consoleScript = String.raw`
"use strict";
const MAX_ROWS = 200;
const DRAW_MS = 100;
const MAX_BACKOFF_MS = 15000;
const STEADY_MS = 5000;
const HEAD = '{"type":"data","id":"';

const byId = (id) => document.getElementById(id);
const { path } = document.body.dataset;
const acknowledges = document.body.dataset.acknowledges === "true";
// With or without a slash at its end, whatever the prefix.
const base = location.origin + location.pathname.replace(/\/+$/, "");
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

function streamUrl() {
  const wanted = subjects.value.replaceAll(/\s/g, "");
  // These stand in a query as they are, and are easier to read.
  const query = encodeURIComponent(wanted).replaceAll("%2C", ",").replaceAll("%3E", ">");
  return base.replace(/^http/, "ws") + path + (wanted && "?subjects=" + query);
}

function connect() {
  clearTimeout(retry);
  const previous = socket;
  const mine = new WebSocket(streamUrl());
  let openedAt = 0;
  socket = mine;
  previous?.close();
  showState("connecting", "connecting");
  mine.onopen = () => {
    if (mine !== socket) return;
    openedAt = Date.now();
    showState("open", "open");
  };
  mine.onmessage = ({ data }) => {
    if (mine !== socket) return;
    receive(data);
    if (acknowledges && data.startsWith(HEAD)) mine.send(ackOf(data));
  };
  mine.onclose = ({ code, reason }) => {
    if (mine !== socket) return;
    const how = "closed with " + code + (reason && " (" + reason + ")");
    // 44xx: it would end like this again.
    if (code >= 4400 && code < 4500) return showState("closed", how);
    failures = openedAt > 0 && Date.now() - openedAt > STEADY_MS ? 0 : failures + 1;
    const wait = Math.random() * Math.min(MAX_BACKOFF_MS, 250 * 2 ** failures);
    retry = setTimeout(connect, wait);
    const hint = openedAt === 0 && subjects.value ? "; is the filter within what is exposed?" : "";
    showState("closed", how + ", again in " + (wait / 1000).toFixed(1) + " s" + hint);
  };
}

// The id stands first, and has nothing in it that JSON would escape: no message is parsed for it.
function ackOf(data) {
  return '{"type":"ack","id":"' + data.slice(HEAD.length, data.indexOf('"', HEAD.length)) + '"}';
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

// --- Messages

const pending = [];
let received = 0;
let waiting = 0;
let frame = 0;
let drawnAt = 0;
let paused = false;

function receive(data) {
  if (!data.startsWith(HEAD)) return;
  received += 1;
  waiting += 1;
  pending.push(data);
  if (pending.length >= 2 * MAX_ROWS) pending.splice(0, MAX_ROWS);
  drawSoon();
}

function drawSoon() {
  frame ||= requestAnimationFrame(draw);
}

function draw(now) {
  frame = 0;
  // A row that somebody reads, or stands on with the keyboard, stays where it is.
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

// Numbers keep the digits that came: above 2^53, a number would show others.
const asWritten = (key, value, context) =>
  typeof value === "number" && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;

function row(data) {
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
