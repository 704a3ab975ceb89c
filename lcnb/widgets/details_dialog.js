// The dialog of one row: sections with values, copy buttons, tables and a report. `showModal` keeps the keyboard in it.
async function copyText(text, place) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* no secure context, or not allowed */ }
  const area = make("textarea", { value: text, className: "lcnb-copy-area" });
  place.append(area); area.select();
  let copied = false;
  try { copied = document.execCommand("copy"); } catch { /* the text stays to be copied by hand */ }
  area.remove();
  return copied;
}

function makeDialog(place, { onTick, onClose }) {
  const id = "lcnb-details-" + Math.random().toString(36).slice(2);
  const title = make("h2", { id, tabIndex: -1 }), report = make("p", { className: "lcnb-copied", role: "status" });
  const close = make("button", { type: "button", textContent: "Close" });
  const tick = make("button", { type: "button" });
  const body = make("div", { className: "lcnb-details-body" });
  const dialog = make("dialog", { className: "lcnb-details" },
    make("div", { className: "lcnb-details-head" }, title, tick, close), report, body);
  dialog.setAttribute("aria-labelledby", id);
  dialog.setAttribute("data-lm-suppress-shortcuts", "true");
  let key = null, drawn = new Map(), cleared;
  place.append(dialog);
  close.addEventListener("click", () => dialog.close());
  tick.addEventListener("click", () => onTick(key));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });  // outside of its content
  dialog.addEventListener("close", () => { const was = key; key = null; body.replaceChildren(); onClose(was); });

  function open(row, name) {
    key = row; title.textContent = name; report.textContent = ""; drawn = new Map();
    body.replaceChildren(make("p", { className: "lcnb-none", textContent: "reading …" }));
    if (!dialog.open) dialog.showModal();
    title.focus();
    body.scrollTop = 0;
  }
  // Sections that are the same stay as they are: the keyboard stays in them.
  function show({ key: row, sections, complete }) {
    if (row !== key) return;
    const before = drawn;
    drawn = new Map(sections.map((each) => {
      const text = JSON.stringify(each);
      return [text, before.get(text) ?? drawSection(each)];
    }));
    dialog.classList.toggle("lcnb-wide", sections.some((each) => each.page));
    const more = complete ? [] : [make("p", { className: "lcnb-none", textContent: "reading …" })];
    setChildren(body, [...drawn.values(), ...more]);
    if (!dialog.contains(document.activeElement)) title.focus({ preventScroll: true });
  }
  function drawSection(section) {
    const made = make("section", {}, make("h3", { textContent: section.title }));
    if (section.items) made.append(make("dl", {}, ...section.items.flatMap(drawItem)));
    if (section.rows) made.append(drawTable(section));
    if (section.note) made.append(make("p", { className: "lcnb-help", textContent: section.note }));
    for (const { text, href } of section.links ?? [])
      made.append(make("p", {}, make("a", { href, target: "_blank", rel: "noopener", textContent: text })));
    if (section.page) {
      const frame = make("iframe", { title: section.title });
      frame.setAttribute("sandbox", ""); frame.srcdoc = section.page; made.append(frame);
    }
    return made;
  }
  function drawItem({ name, value, copy }) {
    const shown = make(copy ? "code" : "span", { textContent: value });
    const cell = make("dd", {}, shown);
    if (copy) cell.append(copyButton(name, value, shown));
    return [make("dt", { textContent: name }), cell];
  }
  function copyButton(name, value, shown) {
    const button = make("button", { type: "button", textContent: "Copy", label: `Copy ${name}` });
    button.addEventListener("click", async () => {
      const copied = await copyText(value, dialog);
      if (!copied) getSelection().selectAllChildren(shown);
      button.focus({ preventScroll: true });
      report.textContent = copied ? `Copied: ${value}` : "The browser refuses to copy. It is selected: press Ctrl+C.";
      button.textContent = copied ? "Copied" : "Copy";
      clearTimeout(cleared);
      cleared = setTimeout(() => { button.textContent = "Copy"; report.textContent = ""; }, 4000);
    });
    return button;
  }
  function drawTable({ title: name, columns, rows }) {
    const head = make("tr", {}, ...columns.map((each) => make("th", { scope: "col", textContent: each })));
    const lines = rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", { textContent: cell }))));
    const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...lines));
    return make("div", { className: "lcnb-details-table", tabIndex: 0, role: "region", label: name }, table);
  }
  function showTick(on, offered) {
    tick.hidden = !offered; tick.textContent = on ? "Untick this row" : "Tick this row";
  }
  return { open, show, showTick, key: () => key };
}

