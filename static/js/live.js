// The live channel: one socket a tab. A region [data-live] says what it shows; rows in it have [data-live-id].
// Fragments are swapped in by id. While the socket is down the page is fetched again now and then.
import { announce } from "./toasts.js";
import { arm, morph, parse } from "./morph.js";

const STALE_AFTER = 3000, SILENT = 25000, SAY_EVERY = 5000, POLL_MOVING = 5000, POLL = 30000, GLOW = 1200;
const SIGNED_OUT = 4401, NO_RIGHT = 4403, NONSENSE = 4400;

const region = document.querySelector("[data-live]");
const about = region ? JSON.parse(region.dataset.live) : null;
export const bus = new EventTarget();

let socket = null, tries = 0, heard = 0, since = about?.since ?? null, updated = new Date(), wanted = null, ended = false;
let staleTimer = 0, pollTimer = 0, saidAt = 0, toSay = "", sayTimer = 0;

// Live samples of a machine, while somebody sees the charts.
export function samples(id) {
  wanted = id;
  subscribe();
}

function ids() {
  return [...new Set([...document.querySelectorAll("[data-live-id]")].map((item) => item.dataset.liveId))];
}

function subscribe() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ subscribe: { project: about.project, part: about.part, ids: ids(), since, metrics: document.hidden ? null : wanted } }));
}

function connect() {
  if (ended) return;
  socket = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/live`);
  socket.onopen = () => { heard = Date.now(); subscribe(); };
  socket.onmessage = ({ data }) => { heard = Date.now(); receive(JSON.parse(data)); };
  socket.onclose = ({ code, reason }) => lost(code, reason);
}

function lost(code, reason) {
  socket = null;
  if (code === SIGNED_OUT || code === NO_RIGHT || code === NONSENSE) return end(reason || "No longer live. Load the page again.");
  if (!staleTimer) staleTimer = setTimeout(stale, STALE_AFTER);
  setTimeout(connect, Math.min(15000, 400 * 2 ** tries++) * (0.75 + Math.random() / 2));
}

function end(sentence) {
  ended = true;
  clearTimeout(staleTimer);
  clearTimeout(pollTimer);
  mark(sentence, true);
}

function receive(message) {
  if (message.at) since = Math.max(since ?? 0, message.at);
  if (!message.metrics) updated = new Date();
  if (message.hello) fresh();
  message.fragments?.forEach(apply);
  if (message.fragments) bus.dispatchEvent(new CustomEvent("changed", { detail: message.fragments }));
  if (message.refresh) poll();
  if (message.metrics) bus.dispatchEvent(new CustomEvent("sample", { detail: message.metrics }));
}

function fresh() {
  tries = 0;
  clearTimeout(staleTimer);
  clearTimeout(pollTimer);
  staleTimer = pollTimer = 0;
  mark("Live", false);
}

function stale() {
  mark(`Updated ${updated.toTimeString().slice(0, 8)}, reconnecting`, true);
  schedulePoll();
}

function mark(text, isStale) {
  document.body.classList.toggle("is-stale", isStale);
  for (const one of document.querySelectorAll("[data-live-mark]")) {
    one.hidden = false;
    one.classList.toggle("is-stale", isStale);
    one.querySelector("span").textContent = text;
  }
}

function schedulePoll() {
  clearTimeout(pollTimer);
  pollTimer = setTimeout(async () => {
    await poll();
    if (socket?.readyState !== WebSocket.OPEN && !ended) {
      mark(`Updated ${updated.toTimeString().slice(0, 8)}, reconnecting`, true);
      schedulePoll();
    }
  }, document.querySelector("main .cb-st.is-move") ? POLL_MOVING : POLL);
}

// The same page again, for the parts that live.
let polling = 0;
async function poll() {
  if (polling) { polling = 2; return; }
  polling = 1;
  try {
    const answer = await fetch(location.href, { headers: { "X-Refresh": "live" } });
    if (answer.redirected && new URL(answer.url).pathname === "/sign-in") return end("You are signed out. Load the page to sign in again.");
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    updated = new Date();
    for (const have of document.querySelectorAll("[data-live-id][id], [data-live] > [id], [data-live-more] > [id]")) {
      const want = page.getElementById(have.id);
      if (want) { morph(have, document.importNode(want, true)); arm(have); }
    }
    bus.dispatchEvent(new CustomEvent("changed", { detail: [] }));
  } catch { /* the network is away: the next try will tell */ } finally {
    const again = polling === 2;
    polling = 0;
    if (again) setTimeout(poll, 1000);
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
  if (about.insert && body) {
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
  document.addEventListener("visibilitychange", () => { if (wanted) subscribe(); });
  // A socket that is open and silent is dead: the server speaks every ten seconds.
  setInterval(() => { if (socket?.readyState === WebSocket.OPEN && Date.now() - heard > SILENT) socket.close(); }, 5000);
  addEventListener("online", () => { tries = 0; });
}
