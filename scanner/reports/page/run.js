(() => {
  const { $, el, put, plural, table, folded, row, terms, code, rest } = page;
  const run = page.data.run;
  const PAGE = 200; // rows of the timeline's table that come at a time
  const BINS = 240; // bars of a lane
  const LANE = 20, LEFT = 78, AXIS = 18, PAD = 8;
  const SVG = "http://www.w3.org/2000/svg";

  // ---- tables and lists

  const list = (items) => el("ul", {}, ...items.map((item) => el("li", {}, item)));
  const lines = (all) => all.map((one) => el("div", {}, one));

  function part(name, shown, ...children) {
    $(`${name}-part`).hidden = !shown;
    if (shown) put(name, ...children);
  }

  // Nested lists of (depth, words, about), one after the other.
  function tree(processes) {
    const root = el("ul", { class: "tree" });
    const open = [root];
    for (const [depth, words, about] of processes) {
      while (open.length - 1 > depth) open.pop();
      const item = el("li", {}, code(words), about ? el("span", { class: "quiet" }, ` ${about}`) : null);
      const inner = el("ul", {});
      open[open.length - 1].append(item);
      item.append(inner);
      open.push(inner);
    }
    for (const empty of root.querySelectorAll("ul:empty")) empty.remove();
    return root;
  }

  put("run-head", ...terms(run.head));
  part("tried", run.tried.length, ...folded("What it tried to reach", ["Target", "As", "By", "Says", "First bytes", "When"], run.tried,
    (one) => row([code(one.target), one.as, lines(one.who), lines(one.told), code(one.first), one.at])), rest(run.triedLeft, "targets"));
  part("asked", run.asked.length, ...folded("What it asked name servers", ["Name", "Type", "Server", "Times", "By", "First"], run.asked,
    (one) => row([code(one.name), one.type, one.server, one.count.toLocaleString("en"), one.who, one.at])), rest(run.askedLeft, "questions"));
  part("changed", run.folders.length || run.expected.length,
    ...run.folders.map((one) => el("details", one.changes.length <= 5 ? { open: "" } : {}, el("summary", {}, code(one.folder), ` ${one.kinds}`),
      el("ul", {}, ...one.changes.map(([name, words]) => el("li", {}, code(name), ` ${words}`))), rest(one.left, "changes"))),
    rest(run.foldersLeft, "folders"),
    run.expected.length ? el("p", {}, `Expected changes, ${run.expected.join("; ")}`) : null);
  part("processes", run.processes.length, tree(run.processes), rest(run.processesLeft, "processes"));
  part("sockets", run.sockets.length || run.network.length, run.sockets.length ? list(run.sockets) : null, rest(run.socketsLeft, "sockets"),
    run.network.length ? el("dl", {}, ...terms(run.network)) : null);
  part("limits", run.limits.length, el("dl", {}, ...terms(run.limits)));
  part("output", run.output.length, el("pre", { tabindex: "0", role: "region", "aria-label": "Lines that it wrote last" }, run.output.join("\n")));

  // ---- the timeline

  const moments = run.moments.map(([time, last, sort, at, words, who, user, count]) => ({ time, last: last === null ? time : last, sort, at, words, who, user, count,
    text: `${words} ${who} ${user}`.toLowerCase() }));
  const dated = moments.filter((one) => one.time !== null);
  const full = dated.length ? [Math.min(...bounds("time")), Math.max(...bounds("last"))] : [0, 1];
  function bounds(name) { return [dated.reduce((a, b) => (b[name] < a ? b[name] : a), Infinity), dated.reduce((a, b) => (b[name] > a ? b[name] : a), -Infinity)]; }
  if (full[1] - full[0] < 0.001) full[1] = full[0] + 1;
  let range = [...full], shown = [], listed = 0;
  const off = new Set();

  function chosen() {
    const wanted = $("wanted").value.toLowerCase();
    const everything = range[0] === full[0] && range[1] === full[1];
    return moments.filter((one) => !off.has(one.sort) && (!wanted || one.text.includes(wanted)) &&
      (one.time === null ? everything : one.last >= range[0] && one.time <= range[1]));
  }

  function more() {
    const body = $("moments-frame").querySelector("tbody");
    const next = shown.slice(listed, listed + PAGE);
    body.append(...next.map((one) => row([one.at, run.sorts[one.sort], one.words, one.who, one.user])));
    listed += next.length;
    put("moments-printed", listed < shown.length ? `The first ${listed.toLocaleString("en")} of ${shown.length.toLocaleString("en")}.` : "");
    $("moments-more").hidden = listed >= shown.length;
    put("moments-more", `Show ${Math.min(PAGE, shown.length - listed)} more`);
  }

  // `2026-01-02 03:04:05.250`, without the day where the run has but one.
  function clock(time) {
    const date = new Date((run.started + time) * 1000);
    if (Number.isNaN(date.getTime())) return "";
    const text = date.toISOString().replace("T", " ").replace("Z", "");
    return full[1] - full[0] < 86400 ? text.slice(11) : text.slice(0, 19);
  }

  function shape(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // A lane for each kind of moment; a bar's height says how many there are, by powers of ten.
  function draw() {
    const width = Math.max($("lanes").clientWidth - 2 * PAD, 200), room = width - LEFT - 8;
    const height = run.sorts.length * LANE + AXIS;
    const picture = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Timeline of ${plural(shown.length, "moment", "moments")}; the table below says the same in words` });
    const length = range[1] - range[0];
    run.sorts.forEach((name, sort) => {
      const top = sort * LANE, counts = new Map();
      picture.append(shape("text", { x: 0, y: top + 14, class: off.has(sort) ? "faint" : "lane" }, name),
        shape("line", { x1: LEFT, x2: width - 8, y1: top + LANE - 2, y2: top + LANE - 2, class: "ground" }));
      for (const one of shown) {
        if (one.sort !== sort || one.time === null) continue;
        const from = Math.max(0, Math.floor(((one.time - range[0]) / length) * (BINS - 1)));
        const to = Math.min(BINS - 1, Math.floor(((one.last - range[0]) / length) * (BINS - 1)));
        const each = one.count / (to - from + 1);
        for (let bin = from; bin <= to; bin += 1) counts.set(bin, (counts.get(bin) || 0) + each);
      }
      for (const [bin, count] of counts) {
        const tall = Math.min(LANE - 4, 6 + 3.5 * Math.log10(Math.max(count, 1)));
        picture.append(shape("rect", { x: LEFT + (bin * room) / BINS, y: top + LANE - 2 - tall, width: Math.max(room / BINS, 2), height: tall, class: `bar-${name}` }));
      }
    });
    const ticks = width > 700 ? 5 : 2;
    for (let tick = 0; dated.length && tick < ticks; tick += 1) {
      picture.append(shape("text", { x: LEFT + (room * tick) / (ticks - 1), y: height - 4, class: "tick",
        "text-anchor": tick === 0 ? "start" : tick === ticks - 1 ? "end" : "middle" }, clock(range[0] + (length * tick) / (ticks - 1))));
    }
    put("lanes", picture);
    return picture;
  }

  function refresh() {
    shown = chosen();
    listed = 0;
    put("moments-frame", table("Moments of the run", ["Time (UTC)", "Kind", "What", "By", "User"], []));
    more();
    draw();
    const when = dated.length ? `, ${clock(range[0])} to ${clock(range[1])}` : "";
    put("moments-said", `${shown.length.toLocaleString("en")} of ${plural(moments.length, "moment", "moments")}${when}` +
      (run.momentsLeft ? `; ${run.momentsLeft.toLocaleString("en")} more are in the JSON report alone` : ""));
  }

  function view(from, to) {
    const length = Math.min(Math.max(to - from, 0.01), full[1] - full[0]);
    const start = Math.min(Math.max(from, full[0]), full[1] - length);
    range = length === full[1] - full[0] ? [...full] : [start, start + length];
    refresh();
  }
  const zoom = (factor) => { const middle = (range[0] + range[1]) / 2, half = ((range[1] - range[0]) * factor) / 2; view(middle - half, middle + half); };
  const shift = (part_) => { const by = (range[1] - range[0]) * part_; view(range[0] + by, range[1] + by); };

  put("sorts", ...run.sorts.map((name, sort) => {
    const box = el("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => { if (box.checked) off.delete(sort); else off.add(sort); refresh(); });
    return el("label", { class: `sort bar-${name}` }, box, ` ${name} `);
  }));
  let waiting = 0;
  $("wanted").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(refresh, 80); });
  $("moments-more").addEventListener("click", () => { more(); if ($("moments-more").hidden) $("moments-frame").firstChild.focus(); });
  $("whole").addEventListener("click", () => view(...full));
  $("nearer").addEventListener("click", () => zoom(0.5));
  $("wider").addEventListener("click", () => zoom(2));
  $("earlier").addEventListener("click", () => shift(-0.5));
  $("later").addEventListener("click", () => shift(0.5));
  // by mouse: the stretch between where the button goes down and where it comes up
  let from = null;
  const at = (event) => {
    const box = $("lanes").getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left - PAD - LEFT) / (box.width - 2 * PAD - LEFT - 8), 0), 1);
    return range[0] + share * (range[1] - range[0]);
  };
  $("lanes").addEventListener("pointerdown", (event) => { from = at(event); });
  addEventListener("pointerup", (event) => {
    if (from === null) return;
    const to = at(event), length = range[1] - range[0], start = from;
    from = null;
    if (Math.abs(to - start) > length / 100) view(Math.min(start, to), Math.max(start, to));
  });
  let resized = 0;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(draw, 100); });
  $("timeline").hidden = !moments.length;
  refresh();
})();
