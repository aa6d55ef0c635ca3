// The command palette: the server answers while one types; nothing is found or filtered here.
import { open } from "./dialogs.js";
import { toast } from "./toasts.js";

const dialog = document.getElementById("palette");
const input = dialog?.querySelector("input"), list = dialog?.querySelector("[role=listbox]");
let asking = false, again = false, entered = false, items = [], at = 0;

export function openPalette(text) {
  if (!dialog) return;
  open(dialog);
  input.value = text.endsWith(":") ? "" : text;
  dialog.dataset.mode = text.endsWith(":") ? text.slice(0, -1) : "";
  input.placeholder = dialog.dataset.mode === "project" ? "Switch to a project" : "Search or run";
  input.focus();
  ask();
}

// The first letter asks at once; those typed while an answer is on its way ask together when it is there.
async function ask() {
  again = asking;
  if (asking) return;
  asking = true;
  const query = new URLSearchParams({ q: input.value, mode: dialog.dataset.mode, at: location.pathname });
  try {
    const answer = await fetch(`${dialog.dataset.url}?${query}`, { headers: { Accept: "application/json" } });
    if (answer.redirected || !answer.ok) throw new Error(answer.status);
    const { groups } = await answer.json();
    show(groups.map(here).filter((group) => group.items.length));
  } catch {
    show([{ title: "The box did not answer. Try again in a moment.", items: [] }]);
  } finally {
    asking = false;
    if (again) ask();
    else if (entered) enter();
  }
}

// What opens a part of the page is offered where the page has it.
function here(group) {
  return { ...group, items: group.items.filter((item) => !item.open || document.getElementById(item.open)) };
}

function show(groups) {
  items = [];
  list.replaceChildren(...groups.map((group, number) => {
    const part = document.createElement("ul"), head = document.createElement("li");
    part.className = "cb-plain"; part.setAttribute("role", "group"); part.setAttribute("aria-labelledby", `palette-g${number}`);
    head.id = `palette-g${number}`; head.className = "cb-pal-head"; head.setAttribute("role", "presentation"); head.textContent = group.title;
    part.append(head, ...group.items.map(option));
    return part;
  }));
  if (!items.length && !groups.length) {
    const none = document.createElement("p");
    none.textContent = "Nothing matches.";
    list.append(none);
  }
  choose(items.findIndex((item) => !item.data.why));
}

function option(data) {
  const row = document.createElement("li"), words = document.createElement("span");
  row.setAttribute("role", "option");
  row.id = `palette-${items.length}`;
  row.append(icon(data.icon), words);
  words.textContent = data.title;
  if (data.note || data.why) {
    const note = document.createElement("small");
    note.textContent = data.why || data.note;
    row.append(note);
  }
  if (data.why) { row.className = "is-no"; row.setAttribute("aria-disabled", "true"); }
  const number = items.length;
  row.addEventListener("pointermove", () => { if (at !== number) choose(number); });
  row.addEventListener("click", () => run(data));
  items.push({ row, data });
  return row;
}

function icon(name) {
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg"), use = document.createElementNS(space, "use");
  svg.setAttribute("class", "cb-i"); svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${dialog.dataset.icons}#${name}`);
  svg.append(use);
  return svg;
}

function choose(number) {
  at = number;
  items.forEach(({ row }, n) => row.setAttribute("aria-selected", String(n === number)));
  const row = items[number]?.row;
  if (row) { input.setAttribute("aria-activedescendant", row.id); row.scrollIntoView({ block: "nearest" }); }
  else input.removeAttribute("aria-activedescendant");
}

// What is run is what was asked for last, not what is still shown of the letters before.
function enter() {
  entered = asking;
  if (!asking && items[at]) run(items[at].data);
}

function run(data) {
  if (data.why) return;
  dialog.close();
  if (data.theme !== undefined) return setTheme(data.theme);
  const place = data.open && document.getElementById(data.open);
  if (place) return place.hasAttribute("popover") ? place.showPopover() : open(place);
  if (data.post) return send(data.post, data.fields ?? {});
  location.assign(data.url);
}

function send(url, fields) {
  const form = document.createElement("form");
  form.method = "post"; form.action = url; form.hidden = true;
  for (const [name, value] of Object.entries({ ...fields, csrfmiddlewaretoken: document.body.dataset.csrf })) {
    const field = document.createElement("input");
    field.type = "hidden"; field.name = name; field.value = value;
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}

async function setTheme(theme) {
  const root = document.documentElement;
  if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
  root.dataset.bsTheme = theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const answer = await fetch("/account/appearance", {
    method: "POST", body: new URLSearchParams({ theme, quiet: "1" }), headers: { "X-CSRFToken": document.body.dataset.csrf },
  });
  if (!answer.ok) toast("The theme holds for this page only: the box did not save it.", { bad: true });
}

if (dialog) {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-palette]");
    if (opener) openPalette(opener.dataset.palette);
  });
  input.addEventListener("input", () => { entered = false; ask(); });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) { event.preventDefault(); choose((at + step + items.length) % items.length); }
    if (event.key === "Enter") { event.preventDefault(); enter(); }
    if (event.key === "Backspace" && !input.value && dialog.dataset.mode) { dialog.dataset.mode = ""; ask(); }
  });
}
