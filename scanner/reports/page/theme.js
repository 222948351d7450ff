"use strict";
// Light or dark, before anything is painted: the reader's scheme until a button says otherwise. Nothing is stored.
const theme = (() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const choices = ["automatic", "light", "dark"];
  let chosen = 0;
  function apply() {
    document.documentElement.dataset.theme = chosen ? choices[chosen] : dark.matches ? "dark" : "light";
    dispatchEvent(new Event("theme"));
  }
  dark.addEventListener("change", apply);
  apply();
  // a page whose script fails shows what it shows without one
  addEventListener("error", () => { if (document.readyState === "loading") delete document.documentElement.dataset.theme; });
  return {
    name: () => choices[chosen],
    next() { chosen = (chosen + 1) % choices.length; apply(); },
  };
})();
