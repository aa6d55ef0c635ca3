// A bucket's objects: moving about without losing uploads, selection, deleting, copying and moving many, the upload tray.
import { open } from "./dialogs.js";
import { ask, base, many, size } from "./object_requests.js";
import { announce, toast } from "./toasts.js";
import { Uploads, dropped } from "./upload.js";

const root = document.getElementById("objects"), browser = document.getElementById("browser"), menu = document.getElementById("ob-menu");
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const folder = () => browser.dataset.folder;
const uploads = new Uploads({ base, user: root.dataset.user });
let working = false;

// --- moving about: the part that changes is swapped, so that uploads live on

// Answers may overtake each other: only the latest step that a person took is shown, and a refresh never gets in its way.
let turn = 0, steps = 0;

async function load(url, { push = true, form = null, quiet = false } = {}) {
  if (quiet && steps) return;
  const mine = ++turn;
  let answer, page;
  steps += !quiet;
  try {
    answer = await fetch(url, form ? { method: "POST", body: form } : {});
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    if (!quiet) toast("The box does not answer. Is the connection there?", { bad: true });
    return;
  } finally {
    steps -= !quiet;
  }
  if (mine !== turn && !form) return;
  const fresh = page.getElementById("browser");
  if (!fresh) return form ? location.reload() : location.assign(url);
  const shown = find("#detail")?.dataset.name;
  browser.className = fresh.className;
  browser.dataset.folder = fresh.dataset.folder;
  browser.replaceChildren(...fresh.childNodes);
  document.title = fresh.dataset.title;
  find("[data-folder-form]").action = `${base}/folder?prefix=${encodeURIComponent(folder())}`;
  all("#toasts .cb-toast", page).forEach((one) => toast(find("span", one).textContent, { bad: one.classList.contains("is-bad") }));
  const at = new URL(form ? answer.url : url, location.href);
  if (form && /\/(share|tags|properties)$/.test(at.pathname)) at.pathname = new URL(base, location.href).pathname;
  if (push && at.href !== location.href) history.pushState(null, "", at);
  selected();
  if (quiet) return;
  const detail = find("#detail");
  if (detail && detail.dataset.name !== shown) find("#ob").focus();
  else if (detail) find("[aria-invalid=true], #ob-link", detail)?.focus();
  else (find(".bo-t .cb-name") ?? find("#main")).focus({ preventScroll: true });
  announce(document.title);
}

const again = () => load(location.href, { push: false, quiet: true });
addEventListener("popstate", () => load(location.href, { push: false }));

root.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.defaultPrevented) return;
  const to = new URL(link.href);
  if (to.origin !== location.origin || to.pathname !== new URL(base, location.href).pathname) return;
  event.preventDefault();
  load(link.href);
});
root.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches(".ob-find")) {
    event.preventDefault();
    load(`${form.action}?${new URLSearchParams([...new FormData(form)].filter(([, value]) => value))}`);
  } else if (form.method === "post") {
    event.preventDefault();
    load(form.action, { form: new FormData(form) });
  }
});
addEventListener("beforeunload", (event) => { if (uploads.busy || working) event.preventDefault(); });

// --- selection

const boxes = () => all("tbody .cb-check input", browser);
let last = null;

function selected() {
  const some = boxes(), on = some.filter((box) => box.checked), every = find("[data-all]", browser);
  some.forEach((box) => box.closest("tr").toggleAttribute("aria-selected", box.checked));
  on.forEach((box) => box.closest("tr").setAttribute("aria-selected", "true"));
  const words = find("[data-selected]", browser);
  if (words) words.textContent = `${on.length} selected`;
  if (every) Object.assign(every, { checked: on.length > 0 && on.length === some.length, indeterminate: on.length > 0 && on.length < some.length });
}
function check(value) {
  boxes().forEach((box) => { box.checked = value; });
  selected();
}

root.addEventListener("click", (event) => {
  const box = event.target.closest(".cb-check input");
  if (box) {
    const some = boxes();
    if (box.hasAttribute("data-all")) some.forEach((one) => { one.checked = box.checked; });
    else if (event.shiftKey && some.includes(last)) {
      const [a, b] = [some.indexOf(last), some.indexOf(box)].sort((x, y) => x - y);
      some.slice(a, b + 1).forEach((one) => { one.checked = box.checked; });
    }
    if (!box.hasAttribute("data-all")) last = box;
    selected();
  }
  if (event.target.closest("[data-clear]")) check(false);
});
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || find("dialog[open], :popover-open")) return;
  if (event.key === "Escape") {
    if (boxes().some((box) => box.checked)) check(false);
    else if (find("#detail")?.contains(document.activeElement)) find("[data-shut]").click();
  } else if ((event.ctrlKey || event.metaKey) && event.key === "a" && find("[data-rows]")?.contains(document.activeElement)) {
    event.preventDefault();
    check(true);
  }
});

// --- the menu of a row, and what is acted on

let chosen = [], opener = null;
const titles = new Map();

function place(popover, button) {
  const at = button.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = popover;
  const top = at.bottom + 4 + height <= innerHeight - 8 ? at.bottom + 4 : at.top - 4 - height;
  Object.assign(popover.style, { top: `${Math.max(8, top)}px`, left: `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`, right: "auto" });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-row-menu]");
  if (!button) return;
  const row = button.closest("tr"), link = find("a.cb-name", row), get = find("[data-download]", menu);
  chosen = [row.dataset.name];
  titles.set(row.dataset.name, link.textContent);
  opener = button;
  find("[data-go]", menu).href = link.href;
  get.hidden = row.hasAttribute("data-folder-row") || row.hasAttribute("data-deleted");
  get.href = `${base}/download?object=${encodeURIComponent(row.dataset.name)}`;
  get.toggleAttribute("aria-disabled", false);
  if (button.dataset.why) { get.setAttribute("aria-disabled", "true"); get.title = button.dataset.why; }
  all("[data-act]", menu).forEach((one) => { one.hidden = row.hasAttribute("data-deleted"); });
  menu.showPopover();
  place(menu, button);
  find("a, button", menu).focus();
});
find("[data-go]", menu).addEventListener("click", (event) => { event.preventDefault(); menu.hidePopover(); load(event.currentTarget.href); });
menu.addEventListener("toggle", (event) => { if (event.newState === "closed" && (document.activeElement === document.body || menu.contains(document.activeElement))) opener?.focus(); });
const pick = document.getElementById("ob-pick");
pick.addEventListener("toggle", (event) => { if (event.newState === "open") place(pick, find("[popovertarget=ob-pick]")); });
for (const popover of [menu, pick]) {
  popover.addEventListener("keydown", (event) => {
    if (!["ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    const items = all("a, button", popover).filter((item) => item.offsetParent), now = items.indexOf(document.activeElement);
    items[(now + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length]?.focus();
  });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  if (button.dataset.one) {
    chosen = [button.dataset.one];
    titles.set(chosen[0], find("#ob").textContent);
  } else if (!menu.contains(button)) {
    const rows = boxes().filter((box) => box.checked).map((box) => box.closest("tr"));
    rows.forEach((row) => titles.set(row.dataset.name, find("a.cb-name", row).textContent));
    chosen = rows.map((row) => row.dataset.name);
  }
  menu.hidePopover();
  if (button.dataset.act === "delete") askDelete(chosen);
  else askCopy(chosen, button.dataset.act === "rename");
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-forget]"), dialog = document.getElementById("ob-forget");
  if (!button) return;
  const form = find("form", dialog);
  form.action = `${base}/forget?${new URLSearchParams({ object: find("#detail").dataset.name, prefix: folder() })}${new URL(location.href).searchParams.has("deleted") ? "&deleted=1" : ""}`;
  form.elements.version.value = button.dataset.forget;
  find("[data-goes]", dialog).textContent = button.dataset.forgetSay;
  open(dialog);
});
document.getElementById("ob-forget").addEventListener("submit", (event) => {
  event.preventDefault();
  document.getElementById("ob-forget").close();
  load(event.target.action, { form: new FormData(event.target) });
});
find("[data-folder-form]").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  document.getElementById("ob-folder").close();
  load(form.action, { form: new FormData(form) }).then(() => form.reset());
});

// --- many objects, round by round

const what = (names) => (names.length === 1 ? `“${titles.get(names[0]) ?? names[0]}”` : many(names.length, "thing"));

const nap = (ms) => new Promise((go) => { setTimeout(go, ms); });

// Ask until all is counted or the person has had enough; `seen` gets each round's answer.
async function rounds(path, body, seen, going) {
  let cursor = "";
  while (cursor !== null && going()) {
    const answer = await ask(path, { ...body, cursor });
    if (going()) seen(answer);
    ({ cursor } = answer);
  }
  return cursor === null;
}

function meter(svg, percent) {
  svg.setAttribute("aria-valuenow", percent);
  find("rect", svg).setAttribute("width", `${percent}%`);
}
function failures(list, failed) {
  list.replaceChildren(...failed.map(({ name, reason }) => {
    const line = document.createElement("li");
    line.textContent = `${name}: ${reason}`;
    return line;
  }));
}

// A dialog that counts, asks, and shows how far the work is. What takes long is a job of the box, which goes on when the dialog is closed.
function worker(dialog) {
  const parts = { count: find("[data-count]", dialog), progress: find("[data-progress]", dialog), said: find("[data-said]", dialog),
    meter: find(".cb-meter", dialog), failed: find("[data-failed]", dialog), keep: find("[data-keep]", dialog), act: find("[data-do]", dialog) };
  let turn = 0, busy = false, stopping = false;
  const end = () => { turn++; busy = working = false; };
  parts.keep.addEventListener("click", () => { if (busy) stopping = true; else dialog.close(); });
  dialog.addEventListener("close", () => { if (busy) watch(); end(); });
  return {
    ...parts,
    begin() {
      const mine = ++turn;
      Object.assign(parts.progress, { hidden: true });
      parts.failed.replaceChildren();
      parts.act.hidden = false;
      parts.keep.textContent = parts.keep.dataset.word ??= parts.keep.textContent;
      return () => mine === turn;
    },
    async run(path, body, total, verb, tell) {
      const mine = ++turn, going = () => mine === turn;
      busy = working = true;
      stopping = false;
      parts.progress.hidden = false;
      parts.act.hidden = true;
      parts.keep.textContent = "Stop";
      parts.said.textContent = `0 of ${many(total, "object")} ${verb}.`;
      meter(parts.meter, 0);
      try {
        let found = await ask(path, { ...body, total });
        working = false;
        while (found.going && going()) {
          if (stopping && !found.stopped) found = await ask("rounds/stop", { job: found.job });
          meter(parts.meter, found.percent);
          failures(parts.failed, found.failed);
          parts.said.textContent = `${found.sentence} It goes on if you close this.`;
          await nap(700);
          [found] = (await ask("rounds", { jobs: [found.job] })).jobs.filter((one) => one.job === found.job);
        }
        if (!going()) {
          if (found.going) watch();
          return again();
        }
        end();
        meter(parts.meter, found.percent);
        failures(parts.failed, found.failed);
        const words = found.stopped || found.error ? found.sentence : tell(found);
        if (found.failures || found.stopped || found.error) {
          parts.said.textContent = words;
          parts.keep.textContent = "Close";
        } else {
          dialog.close();
          toast(words);
        }
        announce(words);
      } catch (error) {
        if (!going()) return undefined;
        end();
        parts.said.textContent = error.message;
        parts.keep.textContent = "Close";
      }
      return again();
    },
  };
}

// What the box works on for this bucket, whoever began it: shown when no dialog does, also after the page was left.
const works = document.getElementById("work"), worked = new Map();
let watching = false;

async function watch() {
  if (watching) return;
  watching = true;
  try {
    for (;;) {
      const { jobs } = await ask("rounds", { jobs: [...worked.keys()] });
      jobs.forEach(drawWork);
      works.hidden = !worked.size;
      if (!jobs.some((one) => one.going)) break;
      await nap(1500);
    }
  } catch (error) {
    toast(error.message, { bad: true });
  } finally {
    watching = false;
  }
}

const DOES = { delete: "Deleting", copy: "Copying", move: "Moving" };

function drawWork(found) {
  let row = worked.get(found.job);
  if (!row && !found.going) return;
  if (!row) {
    row = document.getElementById("ob-work-row").content.firstElementChild.cloneNode(true);
    worked.set(found.job, row);
    find("[data-works]", works).append(row);
    find(".cb-meter", row).setAttribute("aria-label", DOES[found.verb]);
    find("[data-f=what]", row).textContent = `${DOES[found.verb]} objects`;
    find("button", row).addEventListener("click", async () => {
      if (row.dataset.ended) {
        row.remove();
        worked.delete(found.job);
        works.hidden = !worked.size;
      } else await ask("rounds/stop", { job: found.job }).then(drawWork, (error) => toast(error.message, { bad: true }));
    });
  }
  meter(find(".cb-meter", row), found.percent);
  find("[data-f=said]", row).textContent = found.sentence;
  failures(find("[data-failed]", row), found.failed);
  if (found.going || row.dataset.ended) return;
  row.dataset.ended = "1";
  find("button", row).textContent = "Close";
  announce(found.sentence);
  again();
}
if (root.hasAttribute("data-working")) watch();

const deleting = document.getElementById("ob-delete"), deleter = worker(deleting);
const typed = document.getElementById("ob-delete-n"), versions = find("[data-versions]", deleting);
let doomed = [], counted = null;

function askDelete(names) {
  doomed = names;
  if (versions) versions.checked = false;
  typed.value = "";
  find("h2", deleting).textContent = `Delete ${what(names)}?`;
  countDoomed();
  open(deleting);
}

async function countDoomed() {
  const forGood = !root.hasAttribute("data-keeps") || Boolean(versions?.checked), going = deleter.begin();
  counted = null;
  find("[data-typing]", deleting).hidden = !forGood;
  find("[data-goes]", deleting).textContent = forGood ? "Goes: all of it, for good. This cannot be undone." : "Goes from the list: what is deleted can be taken back under “Show deleted”.";
  find("[data-stays-row]", deleting).hidden = forGood;
  find("[data-stays]", deleting).textContent = "Stays: every version of it.";
  deleter.count.textContent = "Counting…";
  ready();
  const sum = { objects: 0, bytes: 0 }, word = versions?.checked ? "version" : "object";
  try {
    const whole = await rounds("count", { names: doomed, versions: Boolean(versions?.checked) }, (answer) => {
      sum.objects += answer.objects;
      sum.bytes += answer.bytes;
      deleter.count.textContent = `Counting… ${many(sum.objects, word)} so far`;
    }, going);
    if (!whole) return;
    counted = sum.objects;
    deleter.count.textContent = sum.objects ? `${many(sum.objects, word)}, ${size(sum.bytes)}.` : "Nothing is there any more.";
  } catch (error) {
    if (going()) deleter.count.textContent = error.message;
  }
  ready();
}

function ready() {
  const free = counted && (find("[data-typing]", deleting).hidden || typed.value.trim() === root.dataset.bucket);
  deleter.act.toggleAttribute("aria-disabled", !free);
  if (!free) deleter.act.setAttribute("aria-disabled", "true");
  deleter.act.title = free ? "" : counted === null ? "Counting what would go." : counted ? `Type ${root.dataset.bucket} first.` : "There is nothing to delete.";
  deleter.act.textContent = counted ? `Delete ${counted === 1 && doomed.length === 1 ? what(doomed) : many(counted, versions?.checked ? "version" : "object")}` : "Delete";
}
typed.addEventListener("input", ready);
versions?.addEventListener("change", countDoomed);
deleting.addEventListener("submit", (event) => {
  event.preventDefault();
  if (deleter.act.getAttribute("aria-disabled") === "true") return;
  if (find("#detail") && doomed.some((name) => find("#detail").dataset.name.startsWith(name))) history.replaceState(null, "", find("[data-shut]").href);
  deleter.run("delete", { names: doomed, versions: Boolean(versions?.checked) }, counted, "deleted",
    (sum) => `Deleted ${many(sum.done, versions?.checked ? "version" : "object")}${sum.failures ? `; ${sum.failures.toLocaleString("en")} could not be deleted:` : "."}`);
});

const copying = document.getElementById("ob-copy"), copier = worker(copying), problem = find("[data-error]", copying);
const to = { bucket: document.getElementById("ob-copy-b"), folder: document.getElementById("ob-copy-f"), name: document.getElementById("ob-copy-n") };
let copied = [], total = 0, renaming = false;

async function askCopy(names, rename) {
  [copied, renaming] = [names, rename];
  find("h2", copying).textContent = rename ? `Rename ${what(names)}` : `Copy or move ${what(names)}`;
  all("[data-where], .ob-how", copying).forEach((part) => { part.hidden = rename; });
  find("[data-rename]", copying).hidden = names.length > 1;
  find("form", copying).reset();
  to.bucket.value = root.dataset.bucket;
  to.folder.value = folder();
  to.name.value = names.length === 1 ? (titles.get(names[0]) ?? "").replace(/\/$/, "") : "";
  problem.hidden = true;
  copier.count.textContent = "Counting…";
  word();
  const going = copier.begin();
  open(copying);
  to[rename ? "name" : "folder"].focus();
  total = 0;
  let bytes = 0;
  try {
    await rounds("count", { names }, (answer) => { total += answer.objects; bytes += answer.bytes; copier.count.textContent = `${many(total, "object")}, ${size(bytes)}`; }, going);
  } catch (error) {
    if (going()) copier.count.textContent = error.message;
  }
}
const moves = () => renaming || find("form", copying).elements.how.value === "move";
function word() { copier.act.textContent = renaming ? "Rename" : moves() ? "Move" : "Copy"; }
copying.addEventListener("change", word);
copying.addEventListener("submit", async (event) => {
  event.preventDefault();
  const move = moves(), here = to.bucket.value === root.dataset.bucket, name = copied.length === 1 ? to.name.value : "";
  const body = { names: copied, base: folder(), bucket: renaming ? "" : to.bucket.value, folder: renaming ? folder() : to.folder.value, name, move, replace: find("[data-replace]", copying).checked };
  problem.hidden = true;
  if (renaming && !name.trim()) { problem.textContent = "Give it a name."; problem.hidden = false; return; }
  // An impossible target is refused before the first object is touched: so it is told here, where it can be mended.
  const done = renaming ? "renamed" : move ? "moved" : "copied";
  if (find("#detail") && move && here) history.replaceState(null, "", find("[data-shut]").href);
  await copier.run("copy", body, total, done, (sum) => {
    const parts = [`${done[0].toUpperCase()}${done.slice(1)} ${many(sum.done, "object")}`];
    if (sum.skipped) parts.push(`${sum.skipped.toLocaleString("en")} skipped, since ${sum.skipped === 1 ? "its name is" : "their names are"} taken`);
    if (sum.failures) parts.push(`${sum.failures.toLocaleString("en")} failed:`);
    return `${parts.join("; ")}.`.replace(":.", ":");
  });
  if (!copier.progress.hidden && copying.open && copier.keep.textContent === "Close" && !copier.failed.childElementCount) copier.act.hidden = false;
});

// --- uploads

const tray = document.getElementById("tray"), list = find("[data-files]", tray), template = document.getElementById("ob-row");
const drawn = new Map(), SHOWN = 60;
let drawing = false, refreshing = 0, told = -1, asked = null;

if (root.hasAttribute("data-uploads")) {
  uploads.addEventListener("changed", () => { if (!drawing) { drawing = true; setTimeout(draw, 120); } });
  uploads.addEventListener("done", ({ detail }) => { if (detail.folder.startsWith(folder())) refresh(4000); });
  uploads.addEventListener("settled", () => {
    const done = uploads.items.filter((item) => item.state === "done").length;
    if (done) announce(`${many(done, "file")} uploaded.`);
    refresh(300);
  });
  setInterval(() => { if (uploads.busy) draw(); }, 500);
  uploads.recall();
  for (const input of all("#ob-files, #ob-folders")) {
    input.addEventListener("change", () => {
      uploads.add([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })), folder());
      input.value = "";
    });
  }
  find("#ob-again").addEventListener("change", (event) => {
    if (asked && event.target.files[0]) uploads.reopen(asked, event.target.files[0]);
    event.target.value = "";
  });
  pick.addEventListener("click", (event) => {
    const kind = event.target.closest("[data-pick]")?.dataset.pick;
    if (!kind) return;
    pick.hidePopover();
    find(kind === "files" ? "#ob-files" : "#ob-folders").click();
  });
  dropping();
}

// The list as it is now, unless somebody works in it.
function refresh(after) {
  clearTimeout(refreshing);
  refreshing = setTimeout(() => {
    if (boxes().some((box) => box.checked) || find("dialog[open], :popover-open") || find("#detail")?.contains(document.activeElement)) return refresh(3000);
    return again();
  }, after);
}

function dropping() {
  const shade = document.getElementById("ob-drop");
  let depth = 0;
  const files = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth++;
    find("[data-into]", shade).textContent = find(".bo-path [aria-current]")?.textContent ?? "";
    shade.hidden = false;
  });
  addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
  addEventListener("dragleave", (event) => { if (files(event) && --depth <= 0) { depth = 0; shade.hidden = true; } });
  addEventListener("drop", async (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = 0;
    shade.hidden = true;
    const into = folder(), found = await dropped(event.dataTransfer);
    if (found.length) uploads.add(found, into);
    else toast("There was no file in what you dropped.");
  });
}

const STATES = {
  waiting: "Waits its turn", paused: "Paused", done: "Checksum agrees", skipped: "Skipped", gone: "Removed",
  lost: "Not finished. Choose the file again to go on",
};
const ICON = { done: "check" };

function draw() {
  drawing = false;
  const { items } = uploads, rate = uploads.rate;
  tray.hidden = !items.length;
  const order = ["there", "failed", "lost", "sending", "paused", "waiting", "done", "skipped", "gone"];
  // What needs a person first, then what moves; of what is done the latest.
  const rank = new Map(items.map((item, n) => [item, [order.indexOf(item.state), item.state === "done" ? -n : n]]));
  const first = (a, b) => rank.get(a)[0] - rank.get(b)[0] || rank.get(a)[1] - rank.get(b)[1];
  const visible = new Set(items.filter((item) => item.state !== "gone").sort(first).slice(0, SHOWN));
  for (const [item, row] of drawn) if (!visible.has(item)) { row.remove(); drawn.delete(item); }
  for (const item of visible) {
    if (!drawn.has(item)) {
      const row = template.content.firstElementChild.cloneNode(true);
      drawn.set(item, row);
      list.append(row);
    }
    drawItem(item, drawn.get(item));
  }
  const left = items.filter((item) => item.state !== "gone").length - visible.size, more = find("[data-more]", tray);
  more.hidden = left <= 0;
  more.textContent = `and ${many(left, "more file")}`;
  const going = items.filter((item) => ["waiting", "sending"].includes(item.state)).length, has = (state) => items.some((item) => item.state === state);
  const unfinished = items.filter((item) => !["done", "skipped", "gone"].includes(item.state)).length;
  find("h2", tray).textContent = going ? `Uploading ${many(going, "file")}` : unfinished ? `${many(unfinished, "upload")} not finished` : `${many(items.filter((item) => item.state === "done").length, "file")} uploaded`;
  const sum = find("[data-sum]", tray), percent = uploads.total ? Math.floor(100 * uploads.sent / uploads.total) : 100;
  let words = uploads.held || "";
  if (!words && going) {
    words = `${size(uploads.sent)} of ${size(uploads.total)}`;
    if (rate > 0) words += `, ${size(rate)}/s`;
    const seconds = (uploads.total - uploads.sent) / rate;
    if (rate > 0 && seconds > 2) words += `, ${seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`} left`;
  }
  // Read aloud only at nought, half and whole; the figures are for eyes.
  sum.setAttribute("role", "none");
  sum.textContent = words;
  const half = going ? Math.floor(percent / 50) : -1;
  if (half !== told && going) announce(`Uploading, ${percent} percent`);
  told = half;
  for (const [name, on] of Object.entries({ pause: going > 0, resume: has("paused"), skip: has("there"), replace: has("there"), clear: !going && (has("done") || has("skipped")) })) {
    find(`[data-tray=${name}]`, tray).hidden = !on;
  }
}

function drawItem(item, row) {
  const percent = item.size ? Math.floor(100 * Math.min(item.sent, item.size) / item.size) : item.state === "done" ? 100 : 0;
  const set = (name, text) => { const field = find(`[data-f=${name}]`, row); if (field.textContent !== text) field.textContent = text; };
  set("name", item.path);
  const parts = item.moving.size > 1 ? `, ${item.moving.size} parts at once` : "";
  const said = item.state === "there" ? `There is one of ${size(item.old ?? 0)} already` : item.said || STATES[item.state] || `${size(item.sent)} of ${size(item.size)}${parts}`;
  set("said", item.state === "lost" && !item.said ? `${STATES.lost} (${size(item.sent)} of ${size(item.size)} are there)` : said);
  set("percent", `${item.state === "done" ? 100 : percent} %`);
  const meter = find(".cb-meter", row), bar = find("rect", meter);
  meter.setAttribute("aria-valuenow", item.state === "done" ? 100 : percent);
  meter.setAttribute("aria-label", item.path);
  bar.setAttribute("width", `${item.state === "done" ? 100 : percent}%`);
  bar.setAttribute("class", item.state === "done" ? "is-done" : item.state === "failed" ? "is-bad" : "is-move");
  if (row.dataset.state === item.state) return;
  row.dataset.state = item.state;
  const sprite = find(".bo-f use, .bo-path use").getAttribute("href").split("#")[0];
  find("use", row).setAttribute("href", `${sprite}#${ICON[item.state] ?? "file"}`);
  const buttons = { sending: ["pause", "remove"], waiting: ["pause", "remove"], paused: ["resume", "remove"], failed: ["again", "remove"], there: ["replace", "skip"], lost: ["choose", "remove"] }[item.state] ?? [];
  find(".ob-btns", row).replaceChildren(...buttons.map((name) => button(name, item, sprite)));
}

const WORDS = { pause: ["Pause", "pause"], resume: ["Resume", "play"], again: ["Try again:", "restart"], remove: ["Remove", "x"], replace: ["Replace"], skip: ["Skip"], choose: ["Continue"] };

function button(name, item, sprite) {
  const made = document.createElement("button"), [text, icon] = WORDS[name];
  made.type = "button";
  made.className = icon ? "cb-icon" : "btn btn-s";
  if (icon) {
    made.setAttribute("aria-label", `${text} ${item.path}`);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    svg.setAttribute("class", "cb-i");
    svg.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `${sprite}#${icon}`);
    svg.append(use);
    made.append(svg);
  } else {
    made.textContent = text;
    made.setAttribute("aria-label", `${text}: ${item.path}`);
  }
  made.addEventListener("click", () => {
    if (name === "choose") {
      if (item.handle) return uploads.reopen(item);
      asked = item;
      return find("#ob-again").click();
    }
    return { pause: () => uploads.pause(item), resume: () => uploads.resume(item), again: () => uploads.resume(item), remove: () => uploads.abort(item), replace: () => uploads.replace(item), skip: () => uploads.skip(item) }[name]();
  });
  return made;
}

tray.addEventListener("click", (event) => {
  const name = event.target.closest("[data-tray]")?.dataset.tray;
  if (name === "pause") uploads.each(["waiting", "sending"], (item) => uploads.pause(item));
  else if (name === "resume") uploads.each(["paused"], (item) => uploads.resume(item));
  else if (name === "skip") uploads.each(["there"], (item) => uploads.skip(item));
  else if (name === "replace") uploads.each(["there"], (item) => uploads.replace(item));
  else if (name === "clear") uploads.clear();
});
selected();
