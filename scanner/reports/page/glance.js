(() => {
  const { $, el, put, terms, badge, rest, table, row, number, plural } = page;
  const data = page.data.glance, findings = page.data.findings;
  const WORST = 3;

  put("target", data.target);
  $("bad").className = data.worst || (data.incomplete ? "incomplete" : "clean");
  put("verdict", data.verdict);
  put("facts", ...terms(data.facts));

  if (data.incomplete) {
    $("incomplete").hidden = false;
    put("incomplete-said", data.incomplete);
    put("unread", ...data.unread.map((words) => el("li", {}, words)),
      data.unreadLeft ? el("li", {}, el("a", { href: "#remarks" }, `and ${plural(data.unreadLeft, "more", "more")}`)) : null);
  }

  put("bar", ...data.counts.filter(([, count]) => count).map(([severity, count]) => {
    const part = el("span", { class: severity });
    part.style.flexGrow = count;
    return part;
  }));
  put("counts", ...data.counts.map(([severity, count, words]) => {
    const button = el("button", { type: "button", class: `count ${severity}` }, el("b", {}, number(count)), ` ${words}`);
    button.disabled = !count;
    button.addEventListener("click", () => { page.findings.only(severity); $("findings").scrollIntoView(); $("findings").focus({ preventScroll: true }); });
    return button;
  }));
  $("bar").hidden = $("counts").hidden = !data.worst;

  put("worst", ...findings.all.slice(0, WORST).map((one, n) => {
    const link = el("a", { href: `#f-${encodeURIComponent(one.id)}` }, one.m);
    // a browser follows a link to where it is already nowhere
    link.addEventListener("click", () => { if (link.hash === location.hash) page.findings.show(n); });
    const help = findings.rules[one.r].help, told = n && findings.all[n - 1].r === one.r;
    return el("li", {}, badge(findings.severities[one.s]), link, el("span", { class: "at quiet" }, el("bdi", { dir: "ltr" }, one.source ? one.source.at : one.w)),
      help && !told ? el("p", { class: "do" }, el("b", {}, "What to do. "), help) : null);
  }));
  $("worst").hidden = !findings.all.length;

  if (data.suppressed.length) {
    $("aside").hidden = false;
    const shown = table("Findings that are set aside", ["Severity", "Finding", "Where", "Why", "Until", "Said at"], data.suppressed.map((one) =>
      row([badge(one.severity), [one.message, " ", el("span", { class: "quiet" }, one.rule)], one.where,
        [one.how === "ignored" ? "" : `${one.how}: `, one.reason], one.expires || "for good", one.place])));
    put("aside", el("details", {}, el("summary", {}, `Set aside: ${data.aside.join("; ")}`), shown, rest(data.suppressedLeft, "that are set aside")));
  }
})();
