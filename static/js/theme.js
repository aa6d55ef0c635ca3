// Before first paint: the user's choice stands in the page; without one, the system's.
(() => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => { root.dataset.bsTheme = root.dataset.theme || (dark.matches ? "dark" : "light"); };
  apply();
  dark.addEventListener("change", apply);
})();
