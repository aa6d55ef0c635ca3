// Lists and heads of instances: selection, bulk actions with their outcome in each row, the ⋯ of a row, popovers by their button.
import { announce, toast } from "./toasts.js";
import { bus } from "./live.js";

const table = document.querySelector(".in-t"), bulk = document.getElementById("bulk"), menu = document.getElementById("actions-menu");
const boxes = () => [...(table?.tBodies[0]?.querySelectorAll("input[type=checkbox]") ?? [])];
let last = null;

function selected() {
  const all = boxes(), on = all.filter((box) => box.checked);
  all.forEach((box) => box.closest("tr").toggleAttribute("aria-selected", false));
  on.forEach((box) => box.closest("tr").setAttribute("aria-selected", "true"));
  const words = document.querySelector("[data-selected]"), every = table.querySelector("[data-all]");
  if (words) words.textContent = `${on.length} selected`;
  every.checked = on.length > 0 && on.length === all.length;
  every.indeterminate = on.length > 0 && on.length < all.length;
  return on;
}

function clear() {
  boxes().forEach((box) => { box.checked = false; });
  document.querySelectorAll(".in-out").forEach((words) => { words.textContent = ""; });
  selected();
}

if (table && bulk) {
  table.addEventListener("click", (event) => {
    const box = event.target.closest("input[type=checkbox]");
    if (!box) return;
    if (box.hasAttribute("data-all")) boxes().forEach((one) => { one.checked = box.checked; });
    else if (event.shiftKey && last) {
      const all = boxes(), [a, b] = [all.indexOf(last), all.indexOf(box)].sort((x, y) => x - y);
      if (a >= 0) all.slice(a, b + 1).forEach((one) => { one.checked = box.checked; });
    }
    if (!box.hasAttribute("data-all")) last = box;
    selected();
  });
  document.querySelector("[data-clear]")?.addEventListener("click", (event) => { event.preventDefault(); clear(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open], :popover-open") && boxes().some((box) => box.checked)) clear();
    if ((event.ctrlKey || event.metaKey) && event.key === "a" && table.contains(document.activeElement)) {
      event.preventDefault();
      boxes().forEach((box) => { box.checked = true; });
      selected();
    }
  });
  bulk.addEventListener("submit", async (event) => {
    const action = event.submitter?.value;
    if (!action || action === "delete") return;
    event.preventDefault();
    event.stopPropagation();
    const data = new FormData(bulk, event.submitter);
    try {
      const answer = await fetch(bulk.action, { method: "POST", body: data, headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      outcome(await answer.json());
    } catch {
      toast("The box did not answer. Look at the states before you try again.", { bad: true });
    }
  }, true);
  bus.addEventListener("changed", selected);
  selected();
}

function outcome({ results, sum, ok }) {
  for (const { id, text, ok: good } of results) {
    const words = document.querySelector(`#row-${id} .in-out`);
    if (!words) continue;
    words.textContent = good ? "" : text;
  }
  boxes().forEach((box) => { box.checked = results.some((one) => one.id === box.value && !one.ok); });
  selected();
  toast(sum, { bad: !ok && results.every((one) => !one.ok) });
}

// A popover stands under its button.
function place(popover, button) {
  const at = button.getBoundingClientRect(), width = popover.offsetWidth, height = popover.offsetHeight;
  const below = at.bottom + 4 + height <= innerHeight - 8 || at.top < height;
  popover.style.top = `${Math.max(8, below ? Math.min(at.bottom + 4, innerHeight - height - 8) : at.top - 4 - height)}px`;
  popover.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
  popover.style.right = "auto";
}

let opener = null;
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[popovertarget], [data-row-menu]");
  if (!button) return;
  opener = button.closest("[popover]") ? opener : button;
  if (!button.dataset.rowMenu || !menu) return;
  const back = encodeURIComponent(location.pathname + location.search);
  const answer = await fetch(`${button.dataset.rowMenu}?back=${back}`).catch(() => null);
  if (!answer?.ok) return announce("The actions could not be loaded.");
  menu.innerHTML = await answer.text();
  menu.showPopover();
  menu.querySelector("a, button")?.focus();
}, true);
document.addEventListener("toggle", (event) => {
  if (event.newState !== "open" || !opener) return;
  if (event.target.matches(".in-pop")) place(event.target, opener);
}, true);
menu?.addEventListener("toggle", (event) => { if (event.newState === "closed" && (document.activeElement === document.body || menu.contains(document.activeElement))) opener?.focus(); });
document.addEventListener("keydown", (event) => {
  const open = event.target.closest?.(".in-pop");
  if (!open || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
  event.preventDefault();
  const items = [...open.querySelectorAll("a, button, summary")].filter((item) => item.offsetParent), now = items.indexOf(document.activeElement);
  items[(now + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length]?.focus();
});
// A choice in a menu closes it; a question comes instead.
document.addEventListener("click", (event) => {
  if (event.target.closest?.(".in-pop [popovertarget]")) event.target.closest(".in-pop").hidePopover();
});
