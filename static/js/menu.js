// [data-menu]: the side bar as a menu, on narrow screens.
const side = document.getElementById("side"), shade = document.createElement("div");
shade.className = "cb-shade";
shade.hidden = true;

function set(opened, opener) {
  side.classList.toggle("is-open", opened);
  shade.hidden = !opened;
  document.querySelectorAll("[data-menu]").forEach((button) => button.setAttribute("aria-expanded", String(opened)));
  if (opened) (side.querySelector("nav a[aria-current]") ?? side.querySelector("nav a"))?.focus();
  else (opener ?? document.querySelector("[data-menu]"))?.focus();
}

if (side) {
  document.body.append(shade);
  let opener = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-menu]");
    if (button) {
      opener = button;
      set(!side.classList.contains("is-open"), opener);
    } else if (event.target === shade) set(false, opener);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && side.classList.contains("is-open")) set(false, opener);
  });
}
