// Editors of user data: line numbers beside the text, what cloud-init would make of it as it is typed, and snippets to start from.
const WAIT = 400;

function numbers(box, text) {
  const lines = box.querySelector("[data-lines]"), count = text.value.split("\n").length;
  if (lines.childElementCount !== 0 || lines.dataset.count !== String(count)) {
    lines.textContent = Array.from({ length: count }, (_, n) => n + 1).join("\n");
    lines.dataset.count = String(count);
  }
  lines.scrollTop = text.scrollTop;
}

function made(tag, text, more = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...more });
}

function tell(box, { kind, words, findings }) {
  const told = box.querySelector("[data-told]");
  told.replaceChildren();
  if (!kind) return;
  const fine = kind === "cloud-config" && !findings.length ? ", and nothing is known against it" : "";
  told.append(made("p", `cloud-init reads this as ${words}${fine}.`, { className: "cb-hint" }));
  if (!findings.length) return;
  const list = document.createElement("ul");
  for (const { line, message, is_error: bad } of findings) {
    const item = made("li", "", { className: bad ? "is-bad" : "" }), button = made("button", `Line ${line}`, { type: "button" });
    button.dataset.line = line;
    item.append(button, " ", made("span", bad ? message : `Note: ${message}`));
    list.append(item);
  }
  told.append(list);
}

function go(text, line) {
  const before = text.value.split("\n").slice(0, line - 1), start = before.reduce((sum, each) => sum + each.length + 1, 0);
  const end = text.value.indexOf("\n", start);
  text.focus();
  text.setSelectionRange(start, end < 0 ? text.value.length : end);
  text.scrollTop = Math.max(0, (line - 4) * 18);
  text.scrollLeft = 0;
}

function edit(box) {
  const text = box.querySelector("textarea"), address = box.dataset.check;
  let timer = 0, asking = null;

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    try {
      const answer = await fetch(address, {
        method: "POST", body: new URLSearchParams({ content: text.value }), signal: asking.signal,
        headers: { "X-CSRFToken": document.body.dataset.csrf },
      });
      if (answer.ok) tell(box, await answer.json());
    } catch (error) {
      if (error.name !== "AbortError") box.querySelector("[data-told]").replaceChildren(made("p", "It could not be checked just now.", { className: "cb-hint" }));
    }
  }

  text.addEventListener("scroll", () => numbers(box, text));
  text.addEventListener("input", () => {
    numbers(box, text);
    clearTimeout(timer);
    if (address) timer = setTimeout(ask, WAIT);
  });
  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-line]");
    if (button) go(text, Number(button.dataset.line));
  });
  new ResizeObserver(() => numbers(box, text)).observe(text);
  numbers(box, text);
}

async function start(event) {
  const link = event.target.closest("[data-snippet]");
  if (!link) return;
  event.preventDefault();
  const text = document.getElementById(link.dataset.into), answer = await fetch(link.dataset.snippet);
  if (!answer.ok) return;
  text.focus();
  text.select();
  // As if it had been typed, so that it can be undone.
  if (!document.execCommand("insertText", false, await answer.text())) return;
  text.setSelectionRange(0, 0);
  text.scrollTop = 0;
}

document.querySelectorAll("[data-user-data]").forEach(edit);
document.addEventListener("click", start);
