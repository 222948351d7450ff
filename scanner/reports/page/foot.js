(() => {
  const { $, el, put } = page;

  put("tool", page.data.tool);
  const name = () => put("theme", `Colours: ${theme.name()}`);
  $("theme").addEventListener("click", () => { theme.next(); name(); });
  name();

  const parts = [...document.querySelectorAll("main > section:not([hidden])")];
  const links = parts.map((part) => el("a", { href: `#${part.id}` }, part.dataset.contents,
    part.dataset.count ? el("span", { class: "quiet" }, ` ${part.dataset.count}`) : null));
  put("contents", el("ul", {}, ...links.map((link) => el("li", {}, link))));
  // the link of the part that is being read stands out
  const seen = new Set();
  const observer = new IntersectionObserver((changes) => {
    for (const one of changes) { if (one.isIntersecting) seen.add(one.target); else seen.delete(one.target); }
    const first = parts.findIndex((part) => seen.has(part));
    links.forEach((link, n) => { if (n === first) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current"); });
  }, { rootMargin: "-10% 0px -60% 0px" });
  parts.forEach((part) => observer.observe(part));

  // on paper nothing is folded but entries to copy
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open]):not(.ignore)")];
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
})();
