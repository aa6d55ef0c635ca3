// Make one tree of nodes like another, in place: focus, scroll, open popovers and what people typed stay.
// [data-keep] belongs to the page's scripts and is left alone; so is a dialog that somebody is answering.
const token = document.body.dataset.csrf;

export function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

export function morph(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.hasAttribute("data-keep") || (from.nodeName === "DIALOG" && from.open)) return;
  attributes(from, to);
  children(from, to);
}

// A fragment that was pushed has no form token of its own: the page's is good.
export function arm(root) {
  for (const input of root.querySelectorAll('input[name="csrfmiddlewaretoken"]')) if (!input.value) input.value = token;
  for (const input of root.querySelectorAll('input[name="back"]')) if (!input.value) input.value = location.pathname + location.search;
}

const MINE = new Set(["aria-selected", "open", "hidden"]);

function attributes(from, to) {
  const hidden = from.matches("input[type=hidden]");
  for (const { name, value } of to.attributes) {
    if (hidden && name === "value" && !value) continue;
    if (!MINE.has(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !MINE.has(name) && name !== "class") from.removeAttribute(name);
  }
}

function children(from, to) {
  const byId = new Map([...from.children].filter((child) => child.id).map((child) => [child.id, child]));
  let at = from.firstChild;
  for (const want of [...to.childNodes]) {
    let have = want.id ? byId.get(want.id) : null;
    if (have && have !== at) from.insertBefore(have, at);
    else if (!have && at && same(at, want)) have = at;
    if (have) {
      at = have.nextSibling;
      morph(have, want);
    } else from.insertBefore(want, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id ?? "") === (b.id ?? "");
