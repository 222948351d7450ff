(() => {
  const { $, el, put, number, plural, terms, badge } = page;
  const data = page.data.findings, layers = page.data.layers, all = data.all, rules = data.rules;
  const PAGE = 50; // lines that are there at once
  const PRINTED = 200, LINES = 2000; // findings on paper: unfolded, and in one line each
  const BYTES = 16; // of one row of a hex dump
  const NONE = "none"; // in a select: what lies in no layer

  const filter = { levels: new Set(), rule: "", layer: "", state: "", confidence: "" };
  const opened = new Set(), closed = new Set();
  let items = [], shown = [], at = 0, texts = null, onPaper = false;

  const layerOf = (one) => (one.l === null ? null : layers.all[layers.places[one.l]]);
  const layerKey = (one) => (one.l === null ? NONE : String(layers.places[one.l]));

  // ---- which findings

  // What is searched, one text for each finding, made when somebody is about to search.
  function searched() {
    texts = texts || all.map((one) => {
      const rule = rules[one.r], layer = layerOf(one);
      const seen = (one.why || []).map((kind) => [kind.kind, ...kind.seen.map(([words, place]) => `${words} ${place}`)]).flat();
      return [one.m, one.w, one.source ? one.source.at : "", rule.id, rule.name, ...(one.also || []), layer ? layer.instruction : "", one.id,
        one.sha || "", ...seen, ...(one.details || []).map(([name, words]) => `${name} ${words}`)].join("\n").toLowerCase();
    });
    return texts;
  }

  function chosen() {
    const wanted = $("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = wanted.length ? searched() : null;
    const numbers = [];
    for (let i = 0; i < all.length; i += 1) {
      const one = all[i];
      if (filter.levels.size && !filter.levels.has(one.s)) continue;
      if (filter.rule && String(one.r) !== filter.rule) continue;
      if (filter.layer && layerKey(one) !== filter.layer) continue;
      if (filter.state && String(one.t) !== filter.state) continue;
      if (filter.confidence && String(one.c) !== filter.confidence) continue;
      if (found && !wanted.every((word) => found[i].includes(word))) continue;
      numbers.push(i);
    }
    return numbers;
  }

  const GROUPS = {
    severity: (one) => [one.s, data.severities[one.s]],
    rule: (one) => [one.r, `${rules[one.r].name} (${rules[one.r].id})`],
    file: (one) => [one.f, one.f],
    layer: (one) => { const layer = layerOf(one); return layer ? [layerKey(one), `layer ${layer.index}: ${layer.instruction || "no instruction known"}`] : [NONE, "in no layer"]; },
  };

  // The findings in their groups, as the lines of one list: a head and, where it is not folded, those below it.
  function arranged(numbers) {
    const by = $("by-group").value, groups = new Map();
    for (const i of numbers) {
      const [key, name] = GROUPS[by](all[i]);
      if (!groups.has(key)) groups.set(key, { head: true, key: `${by} ${key}`, order: key, name, by, below: [] });
      groups.get(key).below.push(i);
    }
    const ordered = [...groups.values()];
    if (by === "layer") ordered.sort((a, b) => (a.order === NONE) - (b.order === NONE) || a.order - b.order);
    return ordered.map((one) => [one, ...(closed.has(one.key) ? [] : one.below)]).flat();
  }

  function refresh() {
    shown = chosen();
    items = arranged(shown);
    at = 0;
    const filtered = shown.length < all.length;
    put("findings-said", filtered ? `${number(shown.length)} of ${plural(all.length, "finding", "findings")}` : plural(all.length, "finding", "findings") + (data.cut ? " in this page" : ""));
    $("clear").hidden = !(filtered || $("text").value);
    for (const button of $("levels").children) button.setAttribute("aria-pressed", String(filter.levels.has(+button.dataset.level)));
    dispatchEvent(new CustomEvent("filter", { detail: filter.layer }));
    draw();
  }

  // ---- the list

  function draw() {
    const pages = Math.max(1, Math.ceil(items.length / PAGE));
    at = Math.min(Math.max(at, 0), pages - 1);
    put("findings-list", ...blocks(at * PAGE, (at + 1) * PAGE, (i) => opened.has(i)));
    $("pager").hidden = pages === 1;
    put("page-said", `Page ${number(at + 1)} of ${number(pages)}`);
    $("previous").disabled = at === 0;
    $("next").disabled = at === pages - 1;
  }

  // The lines from one to another, each finding below its group's head.
  function blocks(from, to, isOpen) {
    const made = [];
    let list = null;
    const begin = (head, goesOn) => {
      list = el("ul", { class: "rows" });
      made.push(el("div", { class: "group" }, heading(head, goesOn), list));
    };
    const first = items[from];
    if (first !== undefined && !first.head) begin(items.slice(0, from).findLast((one) => one.head), true);
    for (const item of items.slice(from, to)) {
      if (item.head) begin(item, false);
      else list.append(line(item, isOpen(item)));
    }
    return made;
  }

  function heading(head, goesOn) {
    const isOpen = !closed.has(head.key);
    const name = head.by === "severity" ? badge(head.name) : el("span", { class: "name" }, head.name);
    const button = el("button", { type: "button", class: "head", "aria-expanded": String(isOpen) }, name,
      el("span", { class: "quiet" }, ` ${number(head.below.length)}${goesOn ? ", continued" : ""}`));
    button.addEventListener("click", () => {
      if (isOpen) closed.add(head.key); else closed.delete(head.key);
      items = arranged(shown);
      at = Math.floor(items.indexOf(items.find((one) => one.key === head.key)) / PAGE);
      draw();
      [...$("findings-list").querySelectorAll(".head")].find((one) => one.dataset.key === head.key).focus();
    });
    button.dataset.key = head.key;
    return el("h3", {}, button);
  }

  function line(i, isOpen) {
    const one = all[i], layer = layerOf(one);
    const facts = [el("code", {}, one.source ? one.source.at : one.w), rules[one.r].id, layer ? `layer ${layer.index}` : "",
      one.t ? data.states[one.t] : "", one.c ? `${data.confidences[one.c]} confidence` : ""].filter(Boolean);
    const button = el("button", { type: "button", class: "line", "aria-expanded": String(isOpen), "data-finding": i }, badge(data.severities[one.s]),
      el("span", { class: "said" }, el("span", { class: "message" }, one.m), el("span", { class: "facts" }, ...facts.map((fact) => el("span", {}, fact)))));
    button.addEventListener("click", () => toggle(i, !opened.has(i)));
    const made = el("li", { class: `finding ${data.severities[one.s]}` }, el("h4", {}, button));
    if (isOpen) made.append(panel(i));
    return made;
  }

  const buttonOf = (i) => $("findings-list").querySelector(`[data-finding="${i}"]`);

  function toggle(i, isOpen) {
    if (isOpen) opened.add(i); else opened.delete(i);
    const button = buttonOf(i);
    if (!button) return;
    button.setAttribute("aria-expanded", String(isOpen));
    const item = button.closest("li");
    item.querySelector(".panel")?.remove();
    if (isOpen) item.append(panel(i));
  }

  // ---- one finding

  function panel(i) {
    const one = all[i], rule = rules[one.r];
    const way = one.flow ? [el("h5", {}, "The way"), el("ol", { class: "way" }, ...one.flow.map(([kind, words, place]) =>
      el("li", {}, words, " ", el("span", { class: "quiet" }, [kind, place].filter(Boolean).join(", "))))),
      one.flowLeft ? el("p", { class: "quiet" }, `and ${plural(one.flowLeft, "more step", "more steps")}: the JSON report has them all`) : null] : [];
    const why = one.why ? [el("h5", {}, "Why: what was seen"), ...one.why.map((kind, n) => evidence(kind, `${i}-${n}`))] : [];
    const links = rule.links.length ? [el("h5", {}, "Read more"), el("ul", { class: "links" }, ...rule.links.map(([words, address]) =>
      el("li", {}, address ? el("a", { href: address, rel: "noreferrer" }, words) : words)))] : [];
    return el("div", { class: "panel" },
      rule.help ? el("p", { class: "fix" }, el("b", {}, "What to do. "), rule.help) : null,
      el("div", { class: "two" }, el("div", {}, ...why, ...way), el("div", {}, el("dl", {}, ...terms(about(one, rule))), ...links)),
      el("div", { class: "ends" }, aside(one, i), el("a", { href: `#f-${encodeURIComponent(one.id)}` }, "Link to this finding")));
  }

  function about(one, rule) {
    const layer = layerOf(one), kinds = (one.why || []).map((kind) => kind.kind);
    const pairs = [["rule", [rule.name, " ", el("span", { class: "quiet" }, rule.id)]]];
    if (rule.description) pairs.push(["about", rule.description]);
    // where the finding is about the line itself, nothing made it
    if (one.source && one.source.how) pairs.push(["made by", [el("code", {}, one.source.at), el("span", { class: one.source.certain ? "quiet" : "doubt" }, ` ${one.source.how}`)]]);
    pairs.push(["where", el("code", {}, one.w)]);
    for (const place of one.also || []) pairs.push(["also", el("code", {}, place)]);
    if (one.alsoLeft) pairs.push(["also", `and ${plural(one.alsoLeft, "more place", "more places")}`]);
    if (layer) pairs.push(["layer", [`${layer.index}${layer.digest ? ` (${layer.digest})` : ""} `, layer.instruction ? el("code", {}, layer.instruction) : ""]]);
    if (layer || one.t) pairs.push(["state", one.hidden || data.states[one.t]]);
    pairs.push(["confidence", data.confidences[one.c] + (kinds.length ? `, by ${plural(kinds.length, "kind", "kinds")} of evidence: ${kinds.join(", ")}` : "")]);
    for (const pair of one.details || []) pairs.push(pair);
    if (one.sha) pairs.push(["sha256", el("code", {}, one.sha)]);
    pairs.push(["fingerprint", el("code", {}, one.id)]);
    return pairs;
  }

  function evidence(kind, id) {
    return el("div", { class: "evidence" }, el("span", { class: "kind" }, kind.kind),
      el("ul", {}, ...kind.seen.map(([words, place, around], n) => el("li", {}, el("code", {}, words), place ? el("span", { class: "quiet" }, ` ${place}`) : "",
        around ? context(around, `${kind.kind}, ${id}-${n}`) : null)),
      kind.left ? el("li", { class: "quiet" }, `and ${number(kind.left)} more`) : null));
  }

  function context(around, name) {
    const box = el("pre", { class: around.hex ? "around bytes" : "around", tabindex: "0", role: "group", "aria-label": `${around.hex ? "Bytes" : "Lines"} around it: ${name}` });
    if (around.lines) {
      const wide = String(around.lines[around.lines.length - 1][0] || "").length;
      around.lines.forEach(([line, parts], n) => {
        const marked = parts.some((part) => part[1]);
        box.append(n ? "\n" : "", el("span", { class: marked ? "number on" : "number" }, wide ? `${String(line).padStart(wide)}  ` : ""),
          ...parts.map(([words, on]) => (on ? el("mark", {}, words) : words)));
      });
      return box;
    }
    const bytes = around.hex.match(/../g).map((pair) => parseInt(pair, 16));
    const first = around.start - (around.start % BYTES); // rows begin where a file's rows begin
    const isOn = (place) => around.marks.some(([from, to]) => place - around.start >= from && place - around.start < to);
    for (let begin = first; begin < around.start + bytes.length; begin += BYTES) {
      const places = [...Array(BYTES).keys()].map((n) => begin + n);
      const byte = (place) => bytes[place - around.start];
      box.append(begin > first ? "\n" : "", el("span", { class: "number" }, `${begin.toString(16).padStart(8, "0")}  `),
        ...runs(places, isOn, (place) => (byte(place) === undefined ? "  " : byte(place).toString(16).padStart(2, "0")), " "), "  |",
        ...runs(places, isOn, (place) => { const b = byte(place); return b === undefined ? " " : b >= 32 && b < 127 ? String.fromCharCode(b) : "."; }, ""), "|");
    }
    return box;
  }

  // Signs one after the other, those of the evidence marked together.
  function runs(places, isOn, sign, between) {
    const made = [];
    places.forEach((place, n) => {
      const on = isOn(place), last = made[made.length - 1], gap = n ? between : "";
      if (last && last.on === on) last.words += gap + sign(place);
      else { if (gap) made.push({ on: false, words: gap }); made.push({ on, words: sign(place) }); }
    });
    return made.map((one) => (one.on ? el("mark", {}, one.words) : one.words));
  }

  function aside(one, i) {
    if (!one.never && !one.ignore) return null;
    if (one.never) return el("p", { class: "quiet" }, one.never);
    const box = el("textarea", { id: `ignore-${i}`, readonly: "", rows: one.ignore.split("\n").length - 1, spellcheck: "false" });
    box.value = one.ignore;
    const button = el("button", { type: "button" }, "Copy");
    const said = el("span", { role: "status", class: "quiet" });
    button.addEventListener("click", () => {
      box.select();
      // works from a file too, where the browser gives no clipboard to scripts
      let done = false;
      try { done = document.execCommand("copy"); } catch { done = false; }
      button.focus();
      if (!done) { box.focus(); box.select(); }
      said.textContent = done ? "Copied." : "Selected: copy it with Ctrl+C or ⌘C.";
    });
    return el("details", { class: "ignore" }, el("summary", {}, "Set it aside"),
      el("label", { for: `ignore-${i}` }, "An entry below ", el("code", {}, "ignore:"), " in ", el("code", {}, ".sandscan.yaml"), "; write the reason into it."),
      box, el("div", { class: "bar" }, button, said));
  }

  // ---- going to one

  // Opens the finding and brings it into view, whatever is filtered or folded.
  function show(i) {
    if (!shown.includes(i)) clear();
    if (!items.includes(i)) { closed.clear(); items = arranged(shown); }
    at = Math.floor(items.indexOf(i) / PAGE);
    opened.add(i);
    draw();
    const button = buttonOf(i);
    button.focus({ preventScroll: true });
    button.scrollIntoView();
  }

  function follow() {
    const [, wanted] = /^#f-(.+)$/.exec(location.hash) || [];
    if (!wanted) return;
    let id = wanted;
    try { id = decodeURIComponent(wanted); } catch { /* as it stands */ }
    const i = all.findIndex((one) => one.id === id || (id.length >= 16 && one.id.startsWith(id)));
    if (i >= 0) { show(i); return; }
    put("findings-said", `The finding ${id.slice(0, 80)} is not in this page.`);
    $("findings").scrollIntoView();
  }

  // ---- controls

  function fill(id, name, options) {
    put(id, el("option", { value: "" }, "all"), ...options.map(([value, words]) => el("option", { value }, words)));
    $(id).closest("label").hidden = options.length < 2;
    $(id).addEventListener("change", () => { filter[name] = $(id).value; refresh(); });
  }

  function counted(key) {
    const counts = new Map();
    for (const one of all) counts.set(key(one), (counts.get(key(one)) || 0) + 1);
    return counts;
  }

  function clear() {
    $("text").value = "";
    filter.levels.clear();
    for (const name of ["rule", "layer", "state", "confidence"]) { filter[name] = ""; $(`by-${name}`).value = ""; }
    refresh();
  }

  const perLevel = counted((one) => one.s);
  put("levels", ...data.severities.map((name, level) => {
    const button = el("button", { type: "button", class: `level ${name}`, "data-level": level, "aria-pressed": "false" }, `${name} `, el("span", {}, number(perLevel.get(level) || 0)));
    button.disabled = !perLevel.has(level);
    button.addEventListener("click", () => { if (!filter.levels.delete(level)) filter.levels.add(level); refresh(); });
    return button;
  }));
  const cut = (words) => (words.length > 60 ? `${words.slice(0, 59)}…` : words);
  fill("by-rule", "rule", [...counted((one) => one.r)].sort(([a], [b]) => (rules[a].id < rules[b].id ? -1 : 1)).map(([r, n]) => [r, cut(`${rules[r].id} (${number(n)})`)]));
  fill("by-layer", "layer", [...counted(layerKey)].sort(([a], [b]) => (a === NONE) - (b === NONE) || a - b).map(([key, n]) =>
    [key, cut(`${key === NONE ? "in no layer" : `${layers.all[key].index} ${layers.all[key].instruction}`}`) + ` (${number(n)})`]));
  fill("by-state", "state", [...counted((one) => one.t)].sort(([a], [b]) => a - b).map(([t, n]) => [t, `${data.states[t]} (${number(n)})`]));
  fill("by-confidence", "confidence", [...counted((one) => one.c)].sort(([a], [b]) => a - b).map(([c, n]) => [c, `${data.confidences[c]} (${number(n)})`]));

  $("text").addEventListener("focus", searched, { once: true });
  $("text").addEventListener("input", refresh);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Escape") { $("text").value = ""; refresh(); event.preventDefault(); }
    if (event.key === "ArrowDown") { $("findings-list").querySelector(".line")?.focus(); event.preventDefault(); }
  });
  $("by-group").addEventListener("change", () => { items = arranged(shown); at = 0; draw(); });
  $("clear").addEventListener("click", () => { clear(); $("text").focus(); });
  const turn = (by) => { at += by; draw(); $("findings").scrollIntoView(); ($("findings-list").querySelector(".line") || $("findings")).focus({ preventScroll: true }); };
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  $("findings-list").addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const button = event.target.closest("li.finding")?.querySelector(".line");
      if (button) { toggle(+button.dataset.finding, false); button.focus(); event.preventDefault(); }
      return;
    }
    if (!event.target.matches(".line, .head")) return;
    const every = [...$("findings-list").querySelectorAll(".line, .head")], here = every.indexOf(event.target);
    const next = { ArrowDown: every[here + 1], ArrowUp: every[here - 1], Home: every[0], End: every[every.length - 1] }[event.key];
    if (next) { next.focus(); event.preventDefault(); }
  });

  // ---- on paper: what is filtered, unfolded; then everything as it was

  function paper(on) {
    if (on === onPaper) return;
    onPaper = on;
    if (!on) { draw(); return; }
    const first = new Set(shown.slice(0, PRINTED));
    const folded = [...closed];
    closed.clear();
    items = arranged(shown);
    put("findings-list", ...blocks(0, LINES, (i) => first.has(i)),
      items.length > LINES ? el("p", {}, `and ${number(items.length - LINES)} more lines that are not printed`) : null);
    folded.forEach((key) => closed.add(key));
    items = arranged(shown);
  }
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  matchMedia("print").addEventListener("change", (event) => paper(event.matches));

  page.findings = {
    show,
    only(severity) { clear(); filter.levels.add(data.severities.indexOf(severity)); refresh(); },
    ofLayer(key) { filter.layer = key; $("by-layer").value = key; refresh(); },
    layer: () => filter.layer,
  };
  $("findings").dataset.count = number(data.total);
  $("nothing").hidden = all.length > 0;
  put("nothing", data.nothing);
  $("filter").hidden = $("findings-said").hidden = !all.length;
  if (data.cut) { $("cut-findings").hidden = false; put("cut-findings", `To keep this page small, it leaves out ${data.cut}: the JSON report has them all.`); }
  refresh();
  addEventListener("hashchange", follow);
  addEventListener("load", follow);
})();
