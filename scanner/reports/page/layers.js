(() => {
  const { $, el, put, plural, folded, code, number } = page;
  const { all, own, left, sized, total } = page.data.layers, names = page.data.findings.severities;
  const FEW = 15; // rows of the table that are there at once
  const DENSE = 40; // layers from which on they stand close
  const layers = all.slice(0, own);

  const sum = (layer) => layer.counts.reduce((a, b) => a + b, 0);
  const many = (count, level) => `${number(count)} ${names[level] === "note" && count !== 1 ? "notes" : names[level]}`;
  const counts = (layer) => layer.counts.map((count, level) => (count ? many(count, level) : "")).filter(Boolean).join(", ");
  const now = (layer) => put("layer-now", `layer ${layer.index}${layer.said ? `, ${layer.said}` : ""}${layer.base ? ", from the base image" : ""}: `,
    layer.instruction || "no instruction known", sum(layer) ? `; ${counts(layer)}` : "");

  // A click on the layer that is filtered by ends the filter.
  function choose(n) {
    const key = String(n);
    page.findings.ofLayer(page.findings.layer() === key ? "" : key);
  }

  function part(layer, n) {
    const marks = layer.counts.map((count, level) => (count ? el("span", { class: `mark ${names[level]}`, "data-count": number(count) }) : null));
    const words = [`layer ${layer.index}`, layer.said, layer.base ? "from the base image" : "", layer.instruction, sum(layer) ? counts(layer) : "no findings"];
    const made = el("button", { type: "button", class: `part${layer.base ? " base" : ""}${sum(layer) ? " found" : ""}`, tabindex: n ? "-1" : "0",
      "aria-pressed": "false", "aria-label": words.filter(Boolean).join(", "), "data-layer": n }, ...marks, el("span", { class: "block" }));
    made.style.flexGrow = sized ? Math.max(layer.size, 1) : 1;
    made.addEventListener("click", () => choose(n));
    made.addEventListener("focus", () => now(layer));
    made.addEventListener("mouseenter", () => now(layer));
    return made;
  }

  function line(layer, n) {
    const found = sum(layer);
    const button = found ? el("button", { type: "button", class: "pick", "aria-pressed": "false", "data-layer": n }, ...layer.counts.map((count, level) =>
      (count ? el("span", { class: `tally ${names[level]}` }, many(count, level)) : null)).filter(Boolean)) : "none";
    if (found) button.addEventListener("click", () => { choose(n); if (page.findings.layer()) { $("findings").scrollIntoView(); $("findings").focus({ preventScroll: true }); } });
    return el("tr", {}, el("th", { scope: "row" }, String(layer.index)), el("td", {}, layer.said || "not known"),
      el("td", {}, layer.base ? el("span", { class: "kind" }, "base") : null, " ", code(layer.instruction) || "not known"), el("td", {}, button));
  }

  $("layers").hidden = !own;
  if (!own) return;
  $("layers").dataset.count = number(own + left);
  put("layers-said", [sized ? `${plural(own + left, "layer", "layers")}, ${total} in all` : `${plural(own + left, "layer", "layers")}; how large each is, this report does not say`,
    sized && own > 1 ? "small ones are drawn wider than they are" : "", left ? `the first ${number(own)} are shown` : ""].filter(Boolean).join("; ") + (own > 1 ? ". Choose one to see its findings alone." : "."));
  put("layer-bar", ...layers.map(part));
  $("layer-bar").classList.toggle("dense", own > DENSE);
  $("layer-bar").hidden = $("layer-now").hidden = own === 1;
  // those with findings first, where not all are shown
  const order = layers.map((layer, n) => n);
  if (own > FEW) order.sort((a, b) => (sum(layers[b]) > 0) - (sum(layers[a]) > 0) || a - b);
  put("layer-table", ...folded("Layers", ["Layer", "Size", "Instruction", "Findings"], order, (n) => line(layers[n], n), FEW));
  const marked = (key) => { for (const one of $("layers").querySelectorAll("[data-layer]")) one.setAttribute("aria-pressed", String(one.dataset.layer === key)); };
  addEventListener("filter", (event) => marked(event.detail));
  $("layer-bar").addEventListener("keydown", (event) => {
    const every = [...$("layer-bar").children], here = every.indexOf(event.target);
    const next = { ArrowRight: every[here + 1], ArrowLeft: every[here - 1], Home: every[0], End: every[every.length - 1] }[event.key];
    if (event.key === "Escape") page.findings.ofLayer("");
    if (!next) return;
    event.preventDefault();
    for (const one of every) one.tabIndex = one === next ? 0 : -1;
    next.focus();
  });
})();
