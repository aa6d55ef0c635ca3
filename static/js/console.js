// A machine's console: its serial line in a terminal, or its screen. Connects by itself, and again with a fresh key when it drops.
import "./csp-styles.js";
import { announce, toast } from "./toasts.js";
import { bus } from "./live.js";
import { Terminal } from "../vendor/xterm/lib/xterm.mjs";
import { FitAddon } from "../vendor/xterm-fit/lib/addon-fit.mjs";

const box = document.getElementById("console"), body = document.getElementById("console-body");
const state = document.getElementById("console-state"), keys = document.getElementById("console-keys");
const copyButton = document.getElementById("console-copy"), cad = document.getElementById("console-cad"), more = document.getElementById("console-more");
const head = () => document.querySelector("[data-status]");
const HAS_CONSOLE = new Set(["running", "paused", "rebooting"]);
// Closings after which nothing is tried again by itself.
const FINAL = { 4403: "", 4408: "Closed after half an hour without a key.", 4410: "Closed after twelve hours.", 4413: "That was too much at once." };

// To look only: nothing is sent, neither keys nor what a terminal answers to questions of the machine.
const WATCH = "watch" in box.dataset;

let kind = box.dataset.kind, pipe = null, tries = 0, timer = 0, ctrl = false, turn = 0;

function say(text, good = false, button = false) {
  state.classList.toggle("is-stale", !good);
  state.querySelector("span").textContent = text;
  state.querySelector("button")?.remove();
  if (!button) return;
  const again = document.createElement("button");
  again.type = "button";
  again.textContent = "Connect";
  again.addEventListener("click", () => { tries = 0; connect(); });
  state.append(again);
}

async function key() {
  const data = new FormData();
  data.set("kind", kind);
  if (WATCH) data.set("watch", "1");
  const answer = await fetch(box.dataset.openUrl, { method: "POST", body: data, headers: { "X-CSRFToken": document.body.dataset.csrf } })
    .catch(() => { throw new Error("The box does not answer. Trying again."); });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(found.error ?? "The box did not answer."), { status: answer.status });
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${found.path}`;
}

async function connect() {
  clearTimeout(timer);
  const mine = ++turn;
  pipe?.close();
  pipe = null;
  if (!HAS_CONSOLE.has(head()?.dataset.status)) return say(`${box.dataset.name} is ${head()?.dataset.status}. The console opens when it runs.`);
  say(tries ? "Reconnecting" : "Connecting");
  try {
    const url = await key();
    if (mine !== turn) return;
    pipe = kind === "vnc" ? await screen(url, mine) : serial(url, mine);
  } catch (error) {
    if (mine !== turn) return;
    say(error.message);
    if (error.status !== 403 && error.status !== 404) again();
  }
}

function again() {
  clearTimeout(timer);
  timer = setTimeout(connect, Math.min(10000, 500 * 2 ** tries++));
}

function dropped(code, reason, mine) {
  if (mine !== turn) return;
  pipe = null;
  if (code in FINAL) return say(reason || FINAL[code], false, code !== 4403);
  if (!HAS_CONSOLE.has(head()?.dataset.status)) return say(`${box.dataset.name} is ${head()?.dataset.status}. The console opens when it runs.`);
  say(reason ? `${reason} Reconnecting.` : "Reconnecting");
  again();
}

// The serial line
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let terminal = null, fit = null;

function makeTerminal() {
  terminal = new Terminal({
    screenReaderMode: true, scrollback: 10000, cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches, convertEol: false,
    fontFamily: token("--mono"), fontSize: innerWidth <= 760 ? 12 : 13, lineHeight: 1.35, rightClickSelectsWord: true,
    theme: { background: token("--term"), foreground: token("--term-ink"), cursor: token("--term-ink"), selectionBackground: "#3b4484", green: token("--term-ok"), yellow: token("--term-warn"), blue: token("--term-blue"), brightBlack: token("--term-dim") },
  });
  fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(body);
  terminal.textarea?.setAttribute("aria-label", `Terminal of ${box.dataset.name}. Ctrl Alt Shift leaves it.`);
  const resize = () => { try { fit.fit(); } catch { /* not visible */ } };
  new ResizeObserver(resize).observe(body);
  document.fonts.ready.then(() => { terminal.options.fontFamily = `${token("--mono")} `; resize(); });
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.ctrlKey && event.altKey && event.shiftKey) { leave(); return false; }
    if (event.type === "keydown" && event.ctrlKey && event.shiftKey && event.code === "KeyC") {
      event.preventDefault();
      navigator.clipboard?.writeText(terminal.getSelection()).catch(() => {});
      return false;
    }
    return !(event.ctrlKey && event.shiftKey && event.code === "KeyV");
  });
  terminal.onData((text) => send(held(text)));
  terminal.onBinary((text) => send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  return terminal;
}

function serial(url, mine) {
  if (!terminal) makeTerminal();
  const socket = new WebSocket(url);
  let writes = false, replay = 0;
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") return told(JSON.parse(data));
    const bytes = new Uint8Array(data), last = replay > 0 && replay <= bytes.length;
    replay = Math.max(0, replay - bytes.length);
    terminal.write(bytes, last ? () => { terminal.options.disableStdin = !writes; } : undefined);
  };
  // Control frames: see compute/consumers.py.
  const told = (control) => {
    if ("watchers" in control) return watchers(control.watchers);
    if (!control.kind) return;
    tries = 0;
    terminal.reset();
    writes = control.write;
    replay = control.history ?? 0;
    // What the log replays may ask the terminal where its cursor is (ESC [6n). The machine asked long ago; an answer now would be typed.
    terminal.options.disableStdin = replay > 0 || !writes;
    say(writes ? "Connected" : "Watching only", true);
    if (document.activeElement === document.body || document.activeElement?.id === "main") terminal.focus();
  };
  socket.onclose = ({ code, reason }) => { watchers(0); dropped(code, reason, mine); };
  return {
    close: () => { socket.onclose = null; socket.close(); watchers(0); },
    send: (data) => { if (writes && socket.readyState === WebSocket.OPEN) socket.send(data); },
  };
}

// How many consoles of this instance are open, this one included.
function watchers(count) {
  more.textContent = count > 1 ? `${count} people watch` : "";
}

const encoder = new TextEncoder();
const send = (data) => pipe?.send?.(typeof data === "string" ? encoder.encode(data) : data);

// The key row's Ctrl holds for one key.
function held(text) {
  if (!ctrl || text.length !== 1) return text;
  setCtrl(false);
  return String.fromCharCode(text.toUpperCase().charCodeAt(0) & 31);
}
function setCtrl(on) {
  ctrl = on;
  keys.querySelector("[data-ctrl]").setAttribute("aria-pressed", String(on));
}

function leave() {
  document.querySelector(".cb-tabs a[aria-current]")?.focus();
  announce("Left the console");
}

// The screen
let rfb = null;
async function screen(url, mine) {
  const { default: RFB } = await import("../vendor/novnc/core/rfb.js");
  const place = document.createElement("div");
  place.className = "in-vnc";
  place.dataset.allKeys = "";
  body.append(place);
  rfb = new RFB(place, url, { shared: true });
  Object.assign(rfb, { scaleViewport: true, background: token("--term"), showDotCursor: true });
  let why = "";
  rfb.addEventListener("connect", () => { tries = 0; say("Connected", true); });
  rfb.addEventListener("securityfailure", ({ detail }) => { why = detail.reason ?? "The screen refused the connection."; });
  rfb.addEventListener("disconnect", () => { place.remove(); rfb = null; dropped(1006, why, mine); });
  place.addEventListener("keydown", (event) => { if (event.ctrlKey && event.altKey && event.shiftKey) { rfb?.blur(); leave(); } }, true);
  const mineRfb = rfb;
  return { close: () => { turn += mine === turn ? 1 : 0; mineRfb.disconnect(); place.remove(); } };
}

// Header
function show(next) {
  if (next === kind && pipe) return;
  kind = next;
  box.querySelectorAll("[data-view]").forEach((link) => (link.dataset.view === kind ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  body.setAttribute("aria-label", `${kind === "vnc" ? "Screen" : "Terminal"} of ${box.dataset.name}`);
  body.classList.toggle("is-vnc", kind === "vnc");
  copyButton.hidden = kind === "vnc";
  cad.hidden = kind !== "vnc";
  pipe?.close();
  pipe = null;
  tries = 0;
  if (kind === "vnc" && terminal) { terminal.dispose(); terminal = null; body.replaceChildren(); }
  connect();
}
box.addEventListener("click", (event) => {
  const link = event.target.closest("[data-view]");
  if (!link) return;
  event.preventDefault();
  history.replaceState(null, "", `?view=${link.dataset.view === "vnc" ? "screen" : "serial"}`);
  show(link.dataset.view);
});
copyButton.addEventListener("click", async () => {
  if (!terminal) return;
  terminal.selectAll();
  const text = terminal.getSelection().trimEnd();
  terminal.clearSelection();
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied");
    toast("The log is copied.");
  } catch {
    toast("The browser did not let us copy. The Log tab has a download.", { bad: true });
  }
});
cad.addEventListener("click", () => rfb?.sendCtrlAltDel());
document.getElementById("console-full").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else box.requestFullscreen?.().catch(() => toast("The browser did not allow full screen."));
});
const SENDS = { esc: "\x1b", tab: "\t", left: "\x1b[D", up: "\x1b[A", down: "\x1b[B", right: "\x1b[C" };
const KEYSYMS = { esc: 0xff1b, tab: 0xff09, left: 0xff51, up: 0xff52, down: 0xff54, right: 0xff53 };
keys.addEventListener("pointerdown", (event) => event.preventDefault());
keys.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("ctrl" in button.dataset) return setCtrl(!ctrl);
  const name = button.dataset.send;
  if (kind === "vnc") rfb?.sendKey(KEYSYMS[name] ?? name.charCodeAt(0), button.textContent);
  else { send(held(SENDS[name] ?? name)); terminal?.focus(); }
});

// The machine came up, or came to rest.
let before = head()?.dataset.status;
bus.addEventListener("changed", () => {
  const now = head()?.dataset.status;
  if (now === before) return;
  before = now;
  if (HAS_CONSOLE.has(now) && !pipe) { tries = 0; connect(); }
  else if (!HAS_CONSOLE.has(now) && !pipe) say(`${box.dataset.name} is ${now}. The console opens when it runs.`);
});
if (box.dataset.reason && !HAS_CONSOLE.has(head()?.dataset.status)) say(box.dataset.reason);
else if (box.dataset.reason) say(box.dataset.reason);
else show(kind);
