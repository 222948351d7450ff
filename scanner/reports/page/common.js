"use strict";
// What every part of the page uses. Everything that comes from the report becomes a text node here, and never markup.
const page = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }
  const put = (id, ...children) => $(id).replaceChildren(...children.filter((child) => child !== null));
  const plural = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;

  document.title = data.title;
  put("heading", data.heading);
  put("foot", data.tool);
  if (data.incomplete) { $("incomplete").hidden = false; put("incomplete", data.incomplete); }
  return { data, $, el, put, plural };
})();
