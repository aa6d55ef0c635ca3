// xterm.js writes <style> elements and style attributes, which our Content-Security-Policy (style-src 'self') refuses. The same
// rules through CSSOM are allowed, being the work of a script that was let in already: <style> becomes an adopted style sheet,
// setAttribute("style") becomes element.style. Only the console page loads this, before xterm.js.
const create = Document.prototype.createElement;

function sheetElement() {
  const element = create.call(document, "template"), sheet = new CSSStyleSheet();
  Object.defineProperty(element, "textContent", {
    get: () => [...sheet.cssRules].map((rule) => rule.cssText).join("\n"),
    set: (text) => sheet.replaceSync(text ?? ""),
  });
  Object.defineProperty(element, "remove", {
    value() {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
      Element.prototype.remove.call(this);
    },
  });
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  return element;
}

document.createElement = function (name, options) {
  return String(name).toLowerCase() === "style" ? sheetElement() : create.call(document, name, options);
};

const set = Element.prototype.setAttribute;
HTMLElement.prototype.setAttribute = function (name, value) {
  if (name === "style") this.style.cssText = value;
  else set.call(this, name, value);
};
