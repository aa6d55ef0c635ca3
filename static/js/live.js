// The live channel: one socket a tab. A region [data-live] says what it shows; rows in it have [data-live-id].
// Fragments are swapped in by id. Whole pages are fetched again: on a word from the channel, while the socket is down, and
// every [data-live-poll] seconds where something moves that is no event. A page that nobody sees fetches nothing; it does when seen.
import { announce } from "./toasts.js";
import { arm, morph, parse } from "./morph.js";

const STALE_AFTER = 3000, SILENT = 20000, PONG = 3000, SAY_EVERY = 5000, POLL_MOVING = 5000, POLL = 30000, GLOW = 1200;
const REST = 1000, REST_PER_COST = 10, RETRY_MOST = 15000, RELOAD_AGAIN = 3000, ROWS_MAX = 150, NEWS_MAX = 999, TIMEOUT = 10000;
const SIGNED_OUT = 4401, NO_RIGHT = 4403, NONSENSE = 4400;

const region = document.querySelector("[data-live]");
const about = region ? JSON.parse(region.dataset.live) : null;
const slow = Number(region?.dataset.livePoll ?? 0) * 1000;
export const bus = new EventTarget();

let socket = null, tries = 0, heard = 0, since = about?.since ?? null, updated = new Date(), wanted = null, ended = false, release = null;
let staleTimer = 0, connectTimer = 0, saidAt = 0, toSay = "", sayTimer = 0;

// Live samples of a machine, while somebody sees the charts.
export function samples(id) {
  wanted = id;
  subscribe();
}

const idsOf = (items) => [...new Set([...items].map((item) => item.dataset.liveId))];

function subscribe() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const shown = [...document.querySelectorAll("[data-live-id]")], moving = shown.filter((item) => item.querySelector(".is-move, [role=progressbar]"));
  const metrics = document.hidden ? null : wanted;
  socket.send(JSON.stringify({ subscribe: { project: about.project, part: about.part, ids: idsOf(shown), moving: idsOf(moving), since, metrics } }));
}

function connect() {
  clearTimeout(connectTimer);
  if (ended || socket) return;
  const mine = socket = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/live`);
  mine.onopen = () => { heard = Date.now(); subscribe(); };
  mine.onmessage = ({ data }) => { if (mine === socket) { heard = Date.now(); receive(JSON.parse(data)); } };
  mine.onclose = ({ code, reason }) => { if (mine === socket) lost(code, reason); };
}

function lost(code, reason) {
  socket = null;
  if (code === SIGNED_OUT || code === NO_RIGHT || code === NONSENSE) return end(reason || "No longer live. Load the page again.");
  if (!staleTimer) staleTimer = setTimeout(stale, STALE_AFTER);
  connectTimer = setTimeout(connect, Math.min(RETRY_MOST, 400 * 2 ** tries++) * (0.75 + Math.random() / 2));
}

// Of a connection that has died unnoticed (sleep, another network) the browser may not tell for minutes: leave it behind.
function drop() {
  const dead = socket;
  if (!dead) return;
  lost(0, "");
  dead.close();
}

function hurry() {
  tries = 0;
  if (!socket) return connect();
  if (socket.readyState !== WebSocket.OPEN) return;
  const asked = Date.now(), mine = socket;
  mine.send(JSON.stringify({ ping: 1 }));
  setTimeout(() => { if (mine === socket && heard < asked) { drop(); hurry(); } }, PONG);
}

function end(sentence) {
  ended = true;
  clearTimeout(staleTimer);
  clearTimeout(pollTimer);
  mark(sentence, true);
}

function receive(message) {
  if (message.fragments) {
    message.fragments.forEach(apply);
    bus.dispatchEvent(new CustomEvent("changed", { detail: message.fragments }));
  }
  if (message.refresh) want();
  if (message.news) news(message.news);
  if (message.metrics) bus.dispatchEvent(new CustomEvent("sample", { detail: message.metrics }));
  else updated = new Date();
  if (message.at) since = Math.max(since ?? 0, message.at);
  if (message.hello) fresh(message.release);
  if (message.reload) reload();
}

function fresh(told) {
  tries = 0;
  clearTimeout(staleTimer);
  staleTimer = 0;
  mark("Live", false);
  schedule();
  if (release && told !== release) reload();
  release = told;
}

// Another release, or too much that was missed. Not under somebody's hands: then as soon as they rest.
function reload() {
  if (document.querySelector("dialog[open], :popover-open") || document.activeElement?.matches("input, textarea, select")
    || region.querySelector("input[type=checkbox]:checked")) setTimeout(reload, RELOAD_AGAIN);
  else location.reload();
}

function stale() {
  mark(`Updated ${updated.toTimeString().slice(0, 8)}, reconnecting`, true);
  schedule();
}

function mark(text, isStale) {
  document.body.classList.toggle("is-stale", isStale);
  for (const one of document.querySelectorAll("[data-live-mark]")) {
    one.hidden = false;
    one.classList.toggle("is-stale", isStale);
    one.querySelector("span").textContent = text;
  }
}

// When the page is fetched again: as soon as somebody sees it, and not before the last time has paid off.
let polling = false, owed = false, restUntil = 0, pollTimer = 0;

function want() {
  owed = true;
  if (polling || document.hidden || ended) return;
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, Math.max(0, restUntil - performance.now()));
}

function schedule() {
  if (owed || polling) return;
  clearTimeout(pollTimer);
  const pause = !staleTimer ? slow : document.querySelector("main .cb-st.is-move") ? POLL_MOVING : POLL;
  if (pause) pollTimer = setTimeout(want, pause);
}

// The same page again, for the parts that live.
async function poll() {
  const began = performance.now();
  polling = true;
  owed = false;
  try {
    const answer = await fetch(location.href, { headers: { "X-Refresh": "live" }, signal: AbortSignal.timeout(TIMEOUT) });
    if (answer.redirected && new URL(answer.url).pathname === "/sign-in") return end("You are signed out. Load the page to sign in again.");
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    updated = new Date();
    for (const have of document.querySelectorAll("[data-live-id][id], [data-live] > [id], [data-live-more] > [id]")) {
      const fetched = page.getElementById(have.id);
      if (fetched) { morph(have, document.importNode(fetched, true)); arm(have); }
    }
    bus.dispatchEvent(new CustomEvent("changed", { detail: [] }));
    if (socket?.readyState !== WebSocket.OPEN && staleTimer) mark(`Updated ${updated.toTimeString().slice(0, 8)}, reconnecting`, true);
  } catch { /* the network is away: the next try will tell */ } finally {
    polling = false;
    restUntil = performance.now() + Math.max(REST, REST_PER_COST * (performance.now() - began));
    if (owed) want();
    else if (!ended) schedule();
  }
}

function apply(fragment) {
  const have = document.getElementById(fragment.id);
  if (fragment.gone) return gone(have);
  if (fragment.say) say(fragment.say);
  if (have) {
    const before = have.dataset.status;
    morph(have, parse(fragment.html));
    arm(have);
    if (before !== undefined && before !== have.dataset.status) glow(have);
  } else if (fragment.fresh) arrived(fragment);
}

function glow(item) {
  item.classList.add("is-fresh");
  setTimeout(() => item.classList.remove("is-fresh"), GLOW);
}

// A new row goes on top where the list shows all; otherwise a chip says that there is more.
let others = 0;
function arrived(fragment) {
  const body = region.querySelector("tbody");
  if (region.hasAttribute("data-live-reload")) return location.reload();
  if (about.insert && body && body.rows.length < ROWS_MAX) {
    const row = parse(fragment.html);
    arm(row);
    body.prepend(row);
    glow(row);
    return;
  }
  others += 1;
  const chip = document.querySelector("[data-new]");
  if (chip) { chip.hidden = false; chip.href = location.pathname; chip.textContent = `${others} new`; }
}

// A log is not swapped under its reader: a line says how much is new, and leads there.
function news(count) {
  const line = document.querySelector("[data-news]");
  if (!line) return;
  line.hidden = false;
  line.querySelector("a").textContent = `${count > NEWS_MAX ? `${NEWS_MAX}+` : count} new event${count === 1 ? "" : "s"}`;
}

// What is gone: a selected row greys, others leave; a page of its own says so.
function gone(item) {
  if (!item) return;
  say(`${item.dataset.name} is deleted`);
  if (item.nodeName !== "TR") {
    const note = document.querySelector("[data-gone]");
    if (note) note.hidden = false;
    item.querySelectorAll("button, a.btn").forEach((control) => { control.setAttribute("aria-disabled", "true"); control.title = "It was deleted."; });
    end("Deleted");
    return;
  }
  item.classList.add("is-gone");
  const box = item.querySelector("input[type=checkbox]");
  if (box?.checked) {
    box.disabled = true;
    const words = item.querySelector(".in-out");
    if (words) words.textContent = "Deleted";
    return;
  }
  const focused = item.contains(document.activeElement), neighbour = item.nextElementSibling ?? item.previousElementSibling;
  setTimeout(() => {
    item.remove();
    if (focused) (neighbour?.querySelector("a.cb-name") ?? document.getElementById("main")).focus();
    bus.dispatchEvent(new CustomEvent("changed", { detail: [] }));
  }, 600);
}

// At most one sentence in five seconds; the newest wins.
function say(sentence) {
  toSay = sentence;
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => { saidAt = Date.now(); announce(toSay); }, Math.max(0, saidAt + SAY_EVERY - Date.now()));
}

if (region) {
  connect();
  document.addEventListener("visibilitychange", () => {
    if (wanted) subscribe();
    if (document.hidden) return;
    hurry();
    if (owed) want();
  });
  // A socket that is open and silent is dead: the server speaks every ten seconds.
  setInterval(() => { if (socket?.readyState === WebSocket.OPEN && Date.now() - heard > SILENT) drop(); }, 5000);
  addEventListener("online", hurry);
}
