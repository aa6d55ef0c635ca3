// Regions marked data-refresh="seconds" are fetched anew with their page and swapped by id, while somebody looks at them.
// Nothing is swapped under a person: not while a dialog is open, text is selected, or focus is on a field inside.
const marks = () => document.querySelectorAll("[data-refresh-mark]");
let stale = false;

const say = (text, isStale) => marks().forEach((mark) => {
  mark.classList.toggle("is-stale", isStale);
  mark.querySelector("span").textContent = text;
});

const busy = (region) => document.querySelector("dialog[open], :popover-open") || region.contains(document.activeElement)
  || (!getSelection().isCollapsed && region.contains(getSelection().anchorNode));

async function refresh(region) {
  if (document.hidden || busy(region)) return;
  try {
    const answer = await fetch(location.href, { headers: { "X-Refresh": region.id }, redirect: "error", signal: AbortSignal.timeout(8000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(region.id);
    if (!fresh || busy(region)) return;
    const scrolled = [...region.querySelectorAll(".cb-scroll")].map((box) => box.scrollLeft);
    region.replaceChildren(...fresh.childNodes);
    region.querySelectorAll(".cb-scroll").forEach((box, index) => { box.scrollLeft = scrolled[index] ?? 0; });
    if (stale) say("Live", false);
    stale = false;
  } catch {
    if (!stale) say(`Updated ${new Date().toTimeString().slice(0, 8)}, reconnecting`, true);
    stale = true;
  }
}

for (const region of document.querySelectorAll("[data-refresh]")) {
  setInterval(() => refresh(region), Number(region.dataset.refresh) * 1000);
  document.addEventListener("visibilitychange", () => refresh(region));
}
