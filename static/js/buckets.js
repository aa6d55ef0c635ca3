// The rules of a bucket's name, told while one types. The server has the last word.
const list = document.querySelector("[data-bucket-name]");
const input = list && document.getElementById(list.dataset.bucketName);
const RULES = {
  length: (name) => name.length >= 3 && name.length <= 63,
  letters: (name) => /^[a-z0-9.-]*$/.test(name),
  ends: (name) => /^[a-z0-9]/.test(name) && /[a-z0-9]$/.test(name),
  dots: (name) => !/\.\.|\.-|-\./.test(name),
  address: (name) => !/^\d{1,3}(\.\d{1,3}){3}$/.test(name),
};

function tell() {
  for (const item of list.querySelectorAll("[data-rule]")) {
    const good = RULES[item.dataset.rule](input.value);
    item.classList.toggle("is-good", Boolean(input.value) && good);
    item.classList.toggle("is-broken", Boolean(input.value) && !good);
  }
}

if (input) {
  input.addEventListener("input", tell);
  if (input.value) tell();
}
