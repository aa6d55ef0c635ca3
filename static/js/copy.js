// [data-copy="text"] and [data-copy-from="id"] copy, the button says so for a moment; [data-download] saves.
import { announce } from "./toasts.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-from]");
  if (!button) return;
  const source = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
  const text = source ? source.value ?? source.textContent : button.dataset.copy;
  if (!(await put(text))) return announce("The browser did not let us copy.");
  button.classList.add("is-copied");
  announce("Copied");
  setTimeout(() => button.classList.remove("is-copied"), 1500);
});

async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain http has no clipboard API but on localhost: the old way.
    const area = document.createElement("textarea"), before = document.activeElement;
    area.value = text; area.className = "visually-hidden";
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus();
    return done;
  }
}

// [data-download="file name"] saves the text of [data-from="id"]: a secret that is told once never goes over the wire again.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-download]");
  if (!button) return;
  const source = document.getElementById(button.dataset.from), link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([source.value ?? source.textContent], { type: "text/plain" }));
  link.download = button.dataset.download;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
