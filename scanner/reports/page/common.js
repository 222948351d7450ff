"use strict";
// What every part of the page uses. Everything that comes from the report becomes a text node here, and never markup.
const page = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const FEW = 30; // rows of a table that are there at once

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return made;
  }
  const put = (id, ...children) => $(id).replaceChildren(...children.filter((child) => child !== null && child !== undefined));
  const number = (count) => count.toLocaleString("en");
  const plural = (count, one, more) => `${number(count)} ${count === 1 ? one : more}`;

  // A table that can be scrolled by keyboard where it is wider than the page.
  function table(label, heads, rows) {
    return el("div", { class: "wide", role: "region", "aria-label": `${label}, table`, tabindex: "0" }, el("table", {}, el("caption", {}, label),
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...rows)));
  }
  // The same with its first rows, and a button for the others.
  function folded(label, heads, all, made, few = FEW) {
    const whole = table(label, heads, all.slice(0, few).map(made));
    if (all.length <= few) return [whole];
    const button = el("button", { type: "button", class: "more" }, `Show all ${number(all.length)}`);
    const printed = el("p", { class: "printed quiet" }, `The first ${number(few)} of ${number(all.length)}.`);
    button.addEventListener("click", () => {
      whole.querySelector("tbody").append(...all.slice(few).map((one, n) => made(one, n + few)));
      button.remove();
      printed.remove();
      whole.focus();
    });
    return [whole, button, printed];
  }
  const row = (cells) => el("tr", {}, ...cells.map((cell) => el("td", {}, ...[cell].flat())));
  const terms = (pairs) => pairs.map(([name, words]) => [el("dt", {}, name), el("dd", {}, ...[words].flat())]).flat();
  const code = (words) => (words ? el("code", {}, words) : "");
  const rest = (count, what) => (count ? el("p", { class: "quiet" }, `and ${number(count)} more ${what}: the JSON report has them all`) : null);
  const badge = (severity) => el("span", { class: `badge ${severity}` }, severity);

  document.title = data.title;
  return { data, $, el, put, number, plural, table, folded, row, terms, code, rest, badge };
})();
