// Single keys and their sheet. They can be switched off (WCAG 2.1.4); Ctrl/⌘ K stays.
import { open } from "./dialogs.js";
import { openPalette } from "./palette.js";

const sheet = document.getElementById("keys");
const single = sheet?.dataset.single === "on", base = sheet?.dataset.base ?? "";
const GO = base === "/admin"
  ? { o: "", i: "/instances", p: "/projects", u: "/users", a: "/audit", h: "/health" }
  : { o: "", i: "/instances", v: "/volumes", m: "/images", b: "/buckets", n: "/networks", s: "/security-groups", k: "/keypairs", c: "/credentials", a: "/activity" };
let going = 0;

const typing = (target) => target.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable], .xterm, [data-all-keys]");
const rows = () => [...document.querySelectorAll("main .cb-table tbody tr")].filter((row) => row.querySelector("a.cb-name"));
const press = (selector) => { const found = document.querySelector(selector); found?.click(); return Boolean(found); };

function move(step) {
  const all = rows(), now = all.indexOf(document.activeElement?.closest("tr"));
  const next = all[now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + step))];
  next?.querySelector("a.cb-name")?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return Boolean(next);
}

function tab(step) {
  const tabs = [...document.querySelectorAll(".cb-tabs a")], now = tabs.findIndex((a) => a.hasAttribute("aria-current"));
  const next = tabs[now + step];
  next?.click();
  return Boolean(next);
}

const KEYS = {
  "?": () => { open(sheet); return true; },
  "/": () => {
    const field = document.querySelector("[data-filter], .cb-tools input[type=search]");
    if (field) { field.focus(); field.select(); } else openPalette("");
    return true;
  },
  g: () => { going = Date.now(); return true; },
  c: () => press("[data-create]"),
  j: () => move(1),
  k: () => move(-1),
  x: () => { const box = document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]"); box?.click(); return Boolean(box); },
  ".": () => { const more = document.activeElement?.closest("tr")?.querySelector("[data-row-menu], [popovertarget]"); more?.click(); return Boolean(more); },
  "[": () => tab(-1),
  "]": () => tab(1),
};

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
    if (event.target.closest?.(".xterm, [data-all-keys]")) return;
    event.preventDefault();
    openPalette("");
    return;
  }
  if (!single || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target) || document.querySelector("dialog[open]")) return;
  if (going && Date.now() - going < 1500 && event.key in GO) {
    going = 0;
    event.preventDefault();
    location.assign(`${base}${GO[event.key]}` || "/");
    return;
  }
  going = 0;
  if (Object.hasOwn(KEYS, event.key) && KEYS[event.key]()) event.preventDefault();
});
