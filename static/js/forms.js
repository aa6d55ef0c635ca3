// Typing a name to confirm; one press, one request; the first field with an error gets the focus; fields that depend on others.
// Typed names are heard at the document, since live pages swap their dialogs.
function check(input) {
  const button = input.form?.querySelector('[type="submit"]');
  if (!button) return;
  if (input.value.trim() === input.dataset.confirmName) button.removeAttribute("aria-disabled");
  else button.setAttribute("aria-disabled", "true");
}

document.querySelectorAll("[data-confirm-name]").forEach(check);
document.addEventListener("input", (event) => {
  if (event.target.matches?.("[data-confirm-name]")) check(event.target);
});

document.addEventListener("cb:open", (event) => {
  const input = event.target.querySelector("[data-confirm-name]");
  if (!input) return;
  input.value = "";
  check(input);
  input.focus();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "1";
  setTimeout(() => { delete form.dataset.sent; }, 4000);
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => { delete form.dataset.sent; }));

// [data-submit]: a select or checkbox that acts at once.
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-submit]")) event.target.form.requestSubmit();
});

// [data-when="name=a b"]: shown while the field of the same form has one of the values.
for (const part of document.querySelectorAll("[data-when]")) {
  const [name, values] = part.dataset.when.split("="), form = part.closest("form");
  const check = () => { part.hidden = !values.split(" ").includes(new FormData(form).get(name) ?? ""); };
  form.addEventListener("change", check);
  check();
}

document.querySelector("[aria-invalid=true]:not(dialog:not([open]) *)")?.focus();
