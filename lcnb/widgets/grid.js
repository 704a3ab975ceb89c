const text = (value) => value === null || value === undefined ? "" : String(value);
function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made;
}
function render({ model, el }) {
  let sort = { name: null, down: false }, words = [], sent = 0;
  const name = model.get("name"), id = "lcnb-grid-" + Math.random().toString(36).slice(2);
  el.classList.add("lcnb-grid");
  const find = make("input", { type: "search", id, placeholder: model.get("ticks") ? "for example: running MIA1 web" : "" });
  const count = make("span", { className: "lcnb-grid-count" }); count.setAttribute("role", "status");
  const bar = make("div", { className: "lcnb-grid-bar" },
    make("label", { htmlFor: id, textContent: "Filter" }), find, count);
  const head = make("tr"), body = make("tbody");
  const table = make("table", {}, make("thead", {}, head), body);
  const scroll = make("div", { className: "lcnb-grid-scroll", tabIndex: 0 }, table);
  scroll.setAttribute("role", "region"); scroll.setAttribute("aria-label", name);
  el.append(bar, scroll);

  const shown = () => {
    const columns = model.get("columns"), key = model.get("key");
    let rows = model.get("rows");
    if (words.length) rows = rows.filter((row) => {
      const all = columns.map((each) => text(row[each.name])).join(" ").toLowerCase();
      return words.every((word) => all.includes(word));
    });
    if (sort.name) {
      const way = sort.down ? -1 : 1;
      rows = [...rows].sort((one, other) => {
        const a = one[sort.name], b = other[sort.name];
        if (a === b) return 0;
        if (a === null) return 1;
        if (b === null) return -1;
        return way * (typeof a === "number" ? a - b : text(a).localeCompare(text(b), undefined, { numeric: true }));
      });
    }
    return rows.filter((row) => row[key] !== undefined);
  };
  const choose = (keys, on) => {
    const picked = new Set(model.get("selected"));
    keys.forEach((each) => on ? picked.add(each) : picked.delete(each));
    sent += 1; model.set("selected", [...picked]); model.send({ answer: [...picked], by: id, n: sent });
  };
  const tick = (label, checked, listener) => {
    const box = make("input", { type: "checkbox", checked }); box.setAttribute("aria-label", label);
    box.addEventListener("change", () => listener(box.checked));
    return box;
  };
  function drawHead() {
    head.replaceChildren();
    if (model.get("ticks")) head.append(make("th", { scope: "col", className: "tick" },
      tick("tick all rows shown", false, (on) => choose(shown().map((row) => row[model.get("key")]).filter(Boolean), on))));
    for (const each of model.get("columns")) {
      const button = make("button", { type: "button", textContent: each.title });
      button.addEventListener("click", () => {
        sort = { name: each.name, down: sort.name === each.name && !sort.down };
        draw();
      });
      const cell = make("th", { scope: "col", className: each.number ? "n" : "" }, button);
      cell.dataset.name = each.name; head.append(cell);
    }
  }
  function draw() {
    const columns = model.get("columns"), key = model.get("key"), picked = new Set(model.get("selected"));
    const rows = shown(), ticks = model.get("ticks"), colors = model.get("colors");
    for (const cell of head.children) if (cell.dataset.name)
      cell.setAttribute("aria-sort", sort.name !== cell.dataset.name ? "none" : sort.down ? "descending" : "ascending");
    const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.key : null;
    body.replaceChildren(...rows.map((row) => {
      const line = make("tr"); line.dataset.key = text(row[key]);
      if (ticks) {
        const cell = make("td", { className: "tick" });
        if (row[key]) {
          const box = tick(`tick ${text(row[columns[0].name])}`, picked.has(row[key]), (on) => {
            choose([row[key]], on); line.classList.toggle("picked", on);
          });
          cell.append(box);
          line.addEventListener("click", (event) => { if (event.target !== box) box.click(); });
        }
        line.classList.toggle("picked", picked.has(row[key])); line.append(cell);
      }
      columns.forEach((each, place) => {
        const cell = make(place ? "td" : "th", { className: each.number ? "n" : "" });
        if (!place) cell.scope = "row";
        const value = row[each.name];
        if (value === null || value === undefined) { cell.textContent = "–"; cell.classList.add("none"); }
        else if (each.name === "state") {
          const dot = make("i"); dot.style.background = colors[value] || "#8c95a4"; cell.append(dot, text(value));
        } else cell.textContent = typeof value === "number" ? value.toLocaleString("en-US",
          each.money ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : {}) : text(value);
        line.append(cell);
      });
      return line;
    }));
    if (focused) for (const line of body.children) if (line.dataset.key === focused) line.querySelector("input")?.focus();
    showCount();
  }
  function showCount() {
    const all = model.get("rows").length, some = body.children.length, ticked = model.get("selected").length;
    count.textContent = (some === all ? `${all} rows` : `${some} of ${all} rows`) + (model.get("ticks") ? `, ${ticked} ticked` : "");
  }
  find.addEventListener("input", () => { words = find.value.toLowerCase().split(/\s+/).filter(Boolean); draw(); });
  const redraw = () => { drawHead(); draw(); };
  const chosen = () => {
    const picked = new Set(model.get("selected"));
    for (const line of body.children) {
      const on = picked.has(line.dataset.key), box = line.querySelector("input");
      if (box) box.checked = on;
      line.classList.toggle("picked", on);
    }
    showCount();
  };
  model.on("msg:custom", ({ value, heard }) => { if ((heard[id] || 0) >= sent) model.set("selected", value); });
  model.on("change:rows", draw); model.on("change:columns", redraw); model.on("change:selected", chosen);
  redraw();
}
export default { render };
