(() => {
  const { $, el, put, plural } = page;
  const data = page.data.reach;
  const FEW = 12; // sandboxes that the matrix alone is enough to choose from
  const WIDE = 1000; // pixels of a graph that needs the whole width of the page
  const MOST = 200; // options in the list of sandboxes
  let chosen = -1, graph = null, marked = null;

  // ---- the matrix

  function matrix() {
    const head = el("tr", {}, el("th", { scope: "col" }, "Sandbox"),
      ...data.destinations.map((one) => el("th", { scope: "col" }, one)));
    const body = data.rows.map((row, r) => {
      const name = row.count > 1 ? `${row.name} (${plural(row.count, "sandbox", "alike")})` : row.name;
      const cells = row.cells.map((cell, c) => {
        if (cell === null) return el("td", { role: "gridcell" });
        const button = el("button", { type: "button", class: cell.verdict, "aria-pressed": "false", tabindex: "-1",
          "aria-label": `${row.name}, ${data.destinations[c]}: ${cell.shown}${cell.trial ? ` ${cell.trial}` : ""}` },
          cell.shown, cell.trial ? el("span", { class: "trial" }, ` ${cell.trial}`) : null);
        button.addEventListener("click", (event) => open(button, row.first, data.destinations[c], event.detail === 0));
        return el("td", { role: "gridcell", "data-row": r, "data-column": c }, button);
      });
      return el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, name), ...cells);
    });
    const table = el("table", { role: "grid", "aria-describedby": "matrix-help" },
      el("caption", {}, "Verdicts of each sandbox by destination"), el("thead", {}, head), el("tbody", {}, ...body));
    put("matrix-frame", data.rows.length ? table : el("p", {}, "The launch starts no sandbox."));
    table.addEventListener("keydown", (event) => {
      const cell = event.target.closest("td");
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (!cell || !step) return;
      const next = table.querySelector(`td[data-row="${+cell.dataset.row + step[0]}"]` +
        `[data-column="${+cell.dataset.column + step[1]}"] button`);
      event.preventDefault();
      if (next) rove(table, next).focus();
    });
    const first = table.querySelector("td button");
    if (first) rove(table, first);
    if (data.rowsLeft) {
      $("rows-left").hidden = false;
      put("rows-left", `${plural(data.rowsLeft, "more sandbox", "more sandboxes")} with other verdicts not in this table.`);
    }
  }

  function rove(table, button) {
    for (const one of table.querySelectorAll("button[tabindex='0']")) one.tabIndex = -1;
    button.tabIndex = 0;
    return button;
  }

  function open(button, sandbox, destination, byKey) {
    for (const one of document.querySelectorAll("#matrix-frame button[aria-pressed='true']")) one.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    rove(button.closest("table"), button);
    show(sandbox);
    const answer = document.querySelector(`.answer[data-destination="${destination}"]`);
    if (!answer) return;
    const path = answer.querySelector(".path > button");
    if (path) mark(path);
    answer.querySelector("h5").focus({ preventScroll: true });
    // by mouse, the graph stays in view where the paths stand below it: the evidence beside it says the same
    if (byKey || !document.querySelector(".stacked")) answer.scrollIntoView({ block: "nearest" });
  }

  // ---- choosing among many

  function picker() {
    if (data.names.length <= FEW) return;
    $("picker").hidden = false;
    const list = $("list");
    const fill = () => {
      const wanted = $("search").value.toLowerCase();
      const found = [];
      let count = 0;
      data.names.forEach((name, number) => {
        if (!name.toLowerCase().includes(wanted)) return;
        count += 1;
        if (found.length < MOST) found.push(el("option", { value: number }, name));
      });
      list.replaceChildren(...found);
      if (found.some((one) => +one.value === chosen)) list.value = String(chosen);
      put("found", count > MOST ? `${count.toLocaleString("en")} found, the first ${MOST} listed` : `${count.toLocaleString("en")} found`);
    };
    $("search").addEventListener("input", fill);
    $("search").addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "Enter") return;
      event.preventDefault();
      if (!list.options.length) return;
      list.selectedIndex = Math.max(list.selectedIndex, 0);
      list.focus();
      show(+list.value);
    });
    list.addEventListener("change", () => show(+list.value));
    fill();
  }

  // ---- one sandbox

  function show(number) {
    if (number === chosen) return;
    chosen = number;
    marked = null;
    put("name", data.names[number]);
    if ($("list").querySelector(`option[value="${number}"]`)) $("list").value = String(number);
    const detail = data.details[data.place[number]];
    document.querySelector(".columns").hidden = !detail;
    if (!detail) {
      const row = data.rows[data.row[number]];
      const said = row ? row.cells.map((cell, i) => (cell ? `${data.destinations[i]} ${cell.shown}` : "")).filter(Boolean).join(", ") : "";
      put("about", `${said}. Its graph is not in this page, because there are too many: sandscan egress -o json has all of them.`);
      return;
    }
    put("about", detail.about);
    put("paths", ...detail.answers.map((one) => answer(one)), ...(detail.lacking ? [el("p", { class: "quiet" }, detail.lacking)] : []));
    cuts(detail);
    put("questions", ...detail.questions.map((one) => el("li", {}, one)));
    $("questions-title").hidden = !detail.questions.length;
    $("none").hidden = true;
    $("cut").checked = false;
    $("cut-label").hidden = detail.drawnCut < 0;
    evidence(detail.graph, null);
    draw(detail.graph);
  }

  function answer(one) {
    const said = el("h5", { tabindex: "-1" }, `${one.destination}: `, el("span", { class: one.verdict }, one.shown), one.trial ? `; ${one.trial}` : null);
    const facts = [
      ...one.allows.map((words) => el("li", {}, `allows ${words}`)),
      ...one.tried.map((words) => el("li", {}, words)),
      ...one.missing.map((gap) => el("li", {}, `missing ${gap.words}; give it with `, el("code", {}, gap.supply))),
      ...one.because.map((words) => el("li", {}, `${one.verdict === "closed" ? "closed because" : "in the way:"} ${words}`)),
    ];
    const paths = one.paths.map((path) => {
      const button = el("button", { type: "button", "aria-pressed": "false" }, `Path: ${path.shown}`);
      button.lines = path.lines;
      button.addEventListener("click", () => mark(button.getAttribute("aria-pressed") === "true" ? null : button));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const all = [...document.querySelectorAll(".path > button")];
        const next = all[all.indexOf(button) + step];
        if (next) next.focus();
      });
      return el("div", { class: "path" }, button, el("ol", {}, ...path.steps.map((step) => el("li", {}, step))));
    });
    return el("div", { class: "answer", "data-destination": one.destination }, said, facts.length ? el("ul", {}, ...facts) : null,
      ...paths, one.left ? el("p", { class: "quiet" }, `${plural(one.left, "more path", "more paths")} not listed`) : null);
  }

  function cuts(detail) {
    $("cuts-title").hidden = !detail.cuts.length;
    put("cuts", ...detail.cuts.map((cut) => el("div", {}, el("p", {}, cut.shown), el("ol", {}, ...cut.actions.map((one) => el("li", {}, one))))));
  }

  // The steps of the graph in words; those of a path in bold, or one arrow's or node's alone.
  function evidence(drawn, only, words) {
    const lines = drawn.lines.filter((line) => only === null || only.includes(line.number));
    const items = lines.map((line) => {
      const notes = [line.kind === "direct" ? "" : line.kind, line.doubtful ? "if a missing fact holds" : "", line.cut ? "removed by the cut" : ""];
      const said = notes.filter(Boolean).join(", ");
      return el("li", { value: line.number }, line.words + (said ? ` [${said}]` : ""));
    });
    put("evidence", words ? el("p", {}, words) : null, items.length ? el("ol", {}, ...items) : null,
      drawn.left ? el("p", { class: "quiet" }, `${plural(drawn.left, "more step", "more steps")} not drawn`) : null);
  }

  // ---- the graph

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function style() {
    const [ink, edge, paper] = ["ink", "edge", "paper"].map(color);
    const kinds = { direct: "edge", mediated: "limited", pivot: "open", doubtful: "unknown", wall: "closed" };
    const line = (name) => ({ "line-color": color(name), "target-arrow-color": color(name) });
    const font = { "font-family": "monospace", "font-size": 12 };
    return [
      { selector: "node", style: { ...font, shape: "round-rectangle", width: "data(w)", height: "data(h)", label: "data(label)", color: ink,
        "text-wrap": "wrap", "text-valign": "center", "text-justification": "center", "line-height": 1.3, "background-color": color("box"),
        "border-width": 1, "border-color": edge } },
      { selector: "node[?start]", style: { "border-width": 3 } },
      ...["open", "limited", "unknown", "closed"].map((verdict) => ({ selector: `node[verdict="${verdict}"]`,
        style: { "border-color": color(verdict), "border-width": verdict === "closed" ? 1 : 2, color: color(verdict) } })),
      { selector: "edge", style: { ...font, "font-size": 10, width: 1.8, "curve-style": "bezier", "target-arrow-shape": "triangle", "arrow-scale": 0.9,
        "target-label": "data(label)", "target-text-offset": "data(offset)", color: ink, "text-background-color": paper, "text-background-opacity": 1, "text-background-padding": 3,
        "text-background-shape": "round-rectangle" } },
      { selector: "edge[?ahead]", style: { "curve-style": "unbundled-bezier", "control-point-distances": "data(distances)",
        "control-point-weights": "data(weights)", "edge-distances": "endpoints", "source-endpoint": "90deg", "target-endpoint": "270deg" } },
      ...Object.entries(kinds).map(([kind, name]) => ({ selector: `edge[kind="${kind}"]`, style: line(name) })),
      { selector: 'edge[kind="doubtful"], edge[kind="wall"]', style: { "line-style": "dashed", "line-dash-pattern": [2, 5] } },
      { selector: 'edge[kind="wall"]', style: { "target-arrow-shape": "tee" } },
      { selector: ".cut", style: { "line-style": "dashed", "line-dash-pattern": [8, 6], opacity: 0.7, ...line("cut") } },
      { selector: ".faded", style: { opacity: 0.18 } },
      { selector: "edge.on", style: { width: 4.5, opacity: 1, "z-index": 9 } },
      { selector: "node.on", style: { "border-width": 4, opacity: 1 } },
    ];
  }

  function elements(drawn) {
    const place = Object.fromEntries(drawn.nodes.map((one) => [one.id, one]));
    const nodes = drawn.nodes.map((one) => ({ data: { ...one }, position: { x: one.x, y: one.y } }));
    const edges = drawn.arrows.map((one, number) => ({ data: { id: `e${number}`, ...one, ...curve(place[one.source], place[one.target], one.bends) } }));
    return [...nodes, ...edges];
  }

  // The curve of an arrow that goes ahead: it leaves to the right and arrives from the left, through its bends. Its control
  // points are said as the library wants them: how far along the straight line, and how far from it.
  function curve(source, target, points) {
    const from = [source.x + source.w / 2, source.y], to = [target.x - target.w / 2, target.y];
    const x = to[0] - from[0], y = to[1] - from[1], square = x * x + y * y;
    if (x < 1) return { ahead: false };
    const all = [from, ...points, to], controls = [];
    for (let i = 0; i + 1 < all.length; i += 1) {
      const middle = (all[i][0] + all[i + 1][0]) / 2;
      controls.push([middle, all[i][1]], [middle, all[i + 1][1]]);
    }
    return { ahead: true,
      weights: controls.map(([px, py]) => ((px - from[0]) * x + (py - from[1]) * y) / square),
      distances: controls.map(([px, py]) => ((py - from[1]) * x - (px - from[0]) * y) / Math.sqrt(square)) };
  }

  function draw(drawn) {
    if (graph) graph.destroy();
    $("graph").setAttribute("aria-label", `Graph of ${data.names[chosen]}: ${plural(drawn.nodes.length, "node", "nodes")}, ` +
      `${plural(drawn.lines.length, "step", "steps")}. Paths and Evidence say the same in words.`);
    document.querySelector(".columns").classList.toggle("stacked", drawn.width > WIDE);
    const scale = Math.min(1.4, ($("graph").clientWidth - 48) / Math.max(drawn.width, 1));
    $("graph").style.height = `${Math.min(Math.max(drawn.height * scale + 64, 220), 700)}px`;
    graph = cytoscape({ container: $("graph"), elements: elements(drawn), style: style(), layout: { name: "preset" },
      minZoom: 0.1, maxZoom: 3, autoungrabify: true, boxSelectionEnabled: false, userZoomingEnabled: false });
    fit();
    graph.on("tap", "edge", (event) => evidence(drawn, event.target.data("lines")));
    graph.on("tap", "node", (event) => evidence(drawn, event.target.connectedEdges().map((one) => one.data("lines")).flat(), event.target.data("words")));
    graph.on("tap", (event) => { if (event.target === graph) mark(null); });
    applyCut();
    window.sandscan = { graph };
  }

  function fit() {
    graph.fit(undefined, 24);
    if (graph.zoom() > 1.4) { graph.zoom(1.4); graph.center(); }
  }

  function zoom(factor) {
    graph.zoom({ level: graph.zoom() * factor, renderedPosition: { x: graph.width() / 2, y: graph.height() / 2 } });
  }

  // One path in full colours and the rest faint; null for all alike.
  function mark(button) {
    if (marked) marked.setAttribute("aria-pressed", "false");
    marked = button;
    $("none").hidden = !button;
    const drawn = data.details[data.place[chosen]].graph;
    graph.elements().removeClass("on faded");
    if (!button) { evidence(drawn, null); return; }
    button.setAttribute("aria-pressed", "true");
    const edges = graph.edges().filter((one) => one.data("kind") !== "wall" && one.data("lines").some((number) => button.lines.includes(number)));
    const on = edges.union(edges.connectedNodes());
    graph.elements().difference(on).addClass("faded");
    on.addClass("on");
    evidence(drawn, button.lines);
    put("said", `${plural(button.lines.length, "step", "steps")} marked in the graph`);
  }

  function applyCut() {
    graph.edges().removeClass("cut");
    if ($("cut").checked) graph.edges().filter((one) => one.data("cut")).addClass("cut");
  }

  // what unfolds above it moves the graph, and the library remembers where it was
  for (const name of ["pointerenter", "pointerdown"]) $("graph").addEventListener(name, () => { if (graph) graph.resize(); }, { capture: true });
  $("fit").addEventListener("click", fit);
  $("closer").addEventListener("click", () => zoom(1.25));
  $("farther").addEventListener("click", () => zoom(0.8));
  $("none").addEventListener("click", () => { const path = marked; mark(null); if (path) path.focus(); });
  $("cut").addEventListener("change", applyCut);
  const restyle = () => { if (graph) graph.style(style()); };
  addEventListener("theme", restyle);
  matchMedia("print").addEventListener("change", restyle);
  const paper = (on) => () => {
    document.documentElement.classList.toggle("paper", on);
    restyle();
    if (graph) graph.forceRender(); // now, not with the next frame: the printer does not wait
  };
  addEventListener("beforeprint", paper(true));
  addEventListener("afterprint", paper(false));

  put("launch", [data.launch, data.assumed.length ? `assumed ${data.assumed.join(", ")}` : ""].filter(Boolean).join("; "));
  matrix();
  picker();
  $("chosen").hidden = !data.names.length;
  if (data.rows.length) show(data.rows[0].first);
})();
