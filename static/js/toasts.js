// Toasts: what happened elsewhere or is already visible. 6 seconds, longer while looked at, at most three.
const SHOWN = 6000, SHOWN_BAD = 12000, MOST = 3;

export function toast(text, { bad = false, link = null } = {}) {
  const box = document.getElementById("toasts"), item = document.createElement("div"), words = document.createElement("span");
  item.className = bad ? "cb-toast is-bad" : "cb-toast";
  words.textContent = text;
  item.append(words);
  if (link) {
    const a = document.createElement("a");
    a.className = "btn btn-s"; a.href = link.url; a.textContent = link.title;
    item.append(a);
  }
  const close = document.createElement("button");
  close.type = "button"; close.className = "cb-icon"; close.dataset.dismiss = ""; close.textContent = "×";
  close.setAttribute("aria-label", "Dismiss");
  item.append(close);
  box.append(item);
  while (box.children.length > MOST) box.firstElementChild.remove();
  live(item);
  return item;
}

// One polite sentence for those who do not see the page.
export function announce(text) {
  const place = document.getElementById("announce");
  if (!place) return;
  place.textContent = "";
  setTimeout(() => { place.textContent = text; }, 50);
}

function live(item) {
  let timer = 0;
  const start = () => { clearTimeout(timer); timer = setTimeout(() => item.remove(), item.classList.contains("is-bad") ? SHOWN_BAD : SHOWN); };
  const hold = () => clearTimeout(timer);
  item.addEventListener("pointerenter", hold);
  item.addEventListener("focusin", hold);
  item.addEventListener("pointerleave", start);
  item.addEventListener("focusout", start);
  start();
}

document.addEventListener("click", (event) => event.target.closest?.("[data-dismiss]")?.closest(".cb-toast")?.remove());
document.querySelectorAll("#toasts .cb-toast").forEach(live);
