(() => {
  const { $, el, put, number, plural, folded, row, terms, code, rest } = page;
  const data = page.data.rest;

  $("ready").hidden = !data.means.length;
  $("ready").dataset.count = number(data.means.length + data.meansLeft);
  put("ready-said", data.ready);
  put("ready-table", ...folded("What lies ready", ["Kind", "Name", "Version", "Package", "Where"], data.means,
    ([kind, name, version, owner, place]) => row([kind, name, version, owner, code(place)])), rest(data.meansLeft, "things"));

  const unread = data.notices.filter(([level]) => level !== "note"), notes = data.notices.filter(([level]) => level === "note");
  const list = (notices) => el("ul", { class: "notices" }, ...notices.map(([level, stage, words]) =>
    el("li", {}, el("span", { class: level === "note" ? "kind" : "kind alarm" }, level === "note" ? stage : `${level}, ${stage}`), " ", words)));
  $("remarks").hidden = !data.notices.length;
  $("remarks").dataset.count = number(data.notices.length + data.noticesLeft);
  put("remarks-list", ...(unread.length ? [el("h3", { class: "alarm" }, "Not read to the end"), list(unread)] : []),
    ...(notes.length ? [el("h3", {}, "Remarks"), notes.length > 10 ? el("details", {}, el("summary", {}, plural(notes.length, "remark", "remarks")), list(notes)) : list(notes)] : []),
    rest(data.noticesLeft, "of them"));

  put("statistics", ...terms(data.statistics));
})();
