// [data-open="id"] opens a dialog, [data-close] closes it; a press beside it does too. Buttons that cannot be pressed say why.
import { announce, toast } from "./toasts.js";

export function open(dialog) {
  if (!dialog || dialog.open) return;
  dialog.showModal();
  dialog.dispatchEvent(new CustomEvent("cb:open", { bubbles: true }));
}

document.addEventListener("click", (event) => {
  const target = event.target;
  if (!(target instanceof Element)) return;
  const opener = target.closest("[data-open]");
  if (opener && opener.getAttribute("aria-disabled") !== "true") {
    opener.closest("[popover]")?.hidePopover();
    open(document.getElementById(opener.dataset.open));
  }
  if (target.closest("[data-close]")) target.closest("dialog")?.close();
  if (target instanceof HTMLDialogElement && target.matches(".cb-dialog")) {
    const box = target.getBoundingClientRect(), { clientX: x, clientY: y } = event;
    if (x < box.left || x > box.right || y < box.top || y > box.bottom) target.close();
  }
});

// Before anything else hears of it: what is disabled does nothing but say its reason.
document.addEventListener("click", (event) => {
  const dead = event.target.closest?.('[aria-disabled="true"]');
  if (!dead) return;
  event.preventDefault();
  event.stopPropagation();
  const reason = dead.title || document.getElementById(dead.getAttribute("aria-describedby"))?.textContent;
  if (!reason) return;
  document.querySelectorAll(".cb-toast.is-why").forEach((old) => old.remove());
  if (dead.closest("dialog")) announce(reason);
  else toast(reason).classList.add("is-why");
}, true);

// A server that answered with errors inside a dialog wants it open again.
document.querySelectorAll("dialog[data-now]").forEach(open);
