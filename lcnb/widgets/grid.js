// The view of a Grid: search, menus, the bar of actions, and a table of which only the rows near the visible ones exist.
const WINDOW_ROWS = 60, SPARE_ROWS = 20, ROW_PX = 30, MINUTE_MS = 60e3;
const CONTROLS = new Set(["input", "select", "button"]);
const SHIELD = "M8 1 2.5 3v4.6c0 3.4 2.3 5.9 5.5 7.4 3.2-1.5 5.5-4 5.5-7.4V3z";

function make(tag, properties = {}, ...children) {
  const { role, label, ...others } = properties;
  const made = Object.assign(document.createElement(tag), others);
  if (role) made.setAttribute("role", role);
  if (label) made.setAttribute("aria-label", label);
  // Keys in a control are not JupyterLab's: its shortcuts apply to the element with the keyboard unless that has this attribute.
  if (CONTROLS.has(tag)) made.setAttribute("data-lm-suppress-shortcuts", "true");
  made.append(...children);
  return made;
}
// Those that stay are not moved: the keyboard stays in them.
function setChildren(parent, wanted) {
  const kept = new Set(wanted);
  for (const each of [...parent.children]) if (!kept.has(each)) each.remove();
  let next = parent.firstElementChild;
  for (const each of wanted) if (each === next) next = next.nextElementSibling; else parent.insertBefore(each, next);
}
function makeShield() {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg"), path = document.createElementNS(space, "path");
  path.setAttribute("d", SHIELD); svg.setAttribute("viewBox", "0 0 16 16"); svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

function render({ model, el }) {
  const id = "lcnb-grid-" + Math.random().toString(36).slice(2), key = model.get("key"), ticks = model.get("ticks");
  let sort = null, words = [], chosen = new Map(), shown = [], picked = new Set(), anchor = null, sent = 0, first = -1, opener = "", pressed = null;
  let lines = new WeakMap(), texts = new WeakMap(), columns = [], all = [], drawnColumns = "";
  const selects = new Map(), titles = new Map();

  el.classList.add("lcnb-grid");
  el.classList.toggle("lcnb-opens", model.get("opens"));
  el.setAttribute("data-lm-suppress-shortcuts", "true");  // Enter in a row is not JupyterLab's
  const find = make("input", { type: "search", id, placeholder: ticks ? "for example: running MIA1 web" : "" });
  const menus = make("span", { className: "lcnb-grid-menus" });
  const clear = make("button", { type: "button", className: "lcnb-plain", textContent: "Clear filters", hidden: true });
  const count = make("span", { className: "lcnb-grid-count", role: "status" }), read = make("span");
  const head = make("tr"), body = make("tbody"), table = make("table", {}, make("thead", {}, head), body);
  const pad = make("div", {}, table);
  const scroll = make("div", { className: "lcnb-grid-scroll", tabIndex: 0, role: "region", label: model.get("name") }, pad);
  const actions = makeBar(), opens = model.get("opens");
  const dialog = makeDialog(el, {
    onTick: (row) => choose([row], !picked.has(row)),
    onClose: leaveDialog,
  });
  el.append(make("div", { className: "lcnb-grid-bar" }, make("label", { htmlFor: id, textContent: "Filter" }), find, menus,
    clear, make("div", { className: "lcnb-grid-counts" }, count, read)), ...(model.get("actions").length ? [actions.bar] : []), scroll);

  // `change` may move, disable, hide or remove the control that has the keyboard: it keeps it, or a successor gets it.
  function keepKeyboard(part, change, successor = () => scroll) {
    const held = part.contains(document.activeElement) ? document.activeElement : null;
    change();
    if (!held) return;
    const usable = held.isConnected && !held.disabled && !held.hidden;
    if (!usable || document.activeElement !== held) (usable ? held : successor(held)).focus({ preventScroll: true });
  }

  // --- rows ----------------------------------------------------------------------------------------------------------
  // Rows that were read again and are the same stay the same objects: what was drawn and searched for them stays, too.
  function takeRows() {
    const before = new Map(all.map((row) => [row[key], row]));
    all = model.get("rows").filter((row) => row[key] !== undefined).map((row) => {
      const old = row[key] ? before.get(row[key]) : undefined;
      before.delete(row[key]);
      return old && JSON.stringify(old) === JSON.stringify(row) ? old : row;
    });
  }
  const allRows = () => all;

  // --- ticks ---------------------------------------------------------------------------------------------------------
  const keysOf = (rows) => rows.map((row) => row[key]).filter(Boolean);
  function choose(keys, on) {
    keys.forEach((each) => on ? picked.add(each) : picked.delete(each));
    sent += 1; model.set("selected", [...picked]); model.send({ answer: [...picked], by: id, n: sent });
  }
  // A click on the box of a row; with Shift all rows from the last one that was ticked.
  function tickRow(row, on, range) {
    const here = shown.indexOf(row), from = range && anchor !== null ? shown.findIndex((each) => each[key] === anchor) : -1;
    anchor = row[key];
    choose(keysOf(from < 0 ? [row] : shown.slice(Math.min(from, here), Math.max(from, here) + 1)), on);
  }
  const tickAll = make("input", { type: "checkbox", label: "tick all rows shown" });
  tickAll.addEventListener("change", () => choose(keysOf(shown), tickAll.checked));
  function showTick(line) {
    const on = picked.has(line.dataset.key), box = line.querySelector("input");
    if (box) box.checked = on;
    line.classList.toggle("picked", on);
  }
  function showTicks() {
    for (const line of body.children) showTick(line);
    const keys = keysOf(shown), some = keys.filter((each) => picked.has(each)).length;
    tickAll.checked = keys.length > 0 && some === keys.length;
    tickAll.indeterminate = some > 0 && some < keys.length;
    dialog.showTick(picked.has(dialog.key()), ticks);
    showCount();
    const before = scroll.offsetTop;
    keepKeyboard(actions.bar, actions.update);
    const moved = scroll.offsetTop - before;  // a line more in the bar must not put another row under the pointer
    if (moved && Math.abs(moved) < 2 * ROW_PX) scroll.scrollTop += moved;
  }
  function showCount() {
    const all = allRows().length;
    const rows = shown.length === all ? plural(all, "row") : `${grouped(shown.length)} of ${plural(all, "row")}`;
    count.textContent = rows + (ticks ? `, ${grouped(picked.size)} ticked` : "");
  }

  // --- the bar of actions --------------------------------------------------------------------------------------------
  function makeBar() {
    const hint = make("p", { textContent: model.get("hint") });
    const buttons = model.get("actions").map((each) => {
      const button = make("button", { type: "button", textContent: each.title, className: each.danger ? "lcnb-danger-button" : "" });
      button.addEventListener("click", () => { pressed = button; model.send({ press: each.name }); });
      return { ...each, button };
    });
    const none = plainButton("Untick all", () => choose([...picked], false));
    const group = make("div", { className: "lcnb-bar-buttons", role: "group", label: "Actions for the ticked rows" },
      ...buttons.map((each) => each.button), none);
    const sum = make("span"), hidden = make("span", { className: "lcnb-warn" }), refused = make("span", { className: "lcnb-warn" });
    const report = make("p", { id: id + "-bar", role: "status" }, sum, hidden, refused);
    const untickHidden = plainButton("Untick hidden rows", () => choose(hiddenRows(), false));
    const untickBlocked = plainButton("Untick protected rows", () => choose(keysOf(blockedRows()), false));
    const fixes = make("span", { className: "lcnb-bar-fixes" }, untickHidden, untickBlocked);
    const bar = make("div", { className: "lcnb-bar" }, group, make("div", { className: "lcnb-bar-text" }, hint, report, fixes));
    group.setAttribute("aria-describedby", report.id);

    let ticked = [];
    const hiddenRows = () => { const there = new Set(keysOf(shown)); return [...picked].filter((each) => !there.has(each)); };
    const mark = () => columns.find((each) => each.mark)?.mark;
    const blockedRows = () => mark() ? ticked.filter((row) => row[mark().name] === "yes") : [];
    function update() {
      ticked = allRows().filter((row) => picked.has(row[key]));
      const any = ticked.length > 0, blocked = blockedRows(), unseen = any ? hiddenRows().length : 0;
      bar.classList.toggle("lcnb-bar-on", any);
      const price = columns.find((each) => each.kind === "money");
      sum.textContent = any ? `${grouped(ticked.length)} ticked${price ? `: ${sumText(ticked, price)}` : ""}.` : "";
      hidden.textContent = unseen ? ` ${grouped(unseen)} of them ${unseen === 1 ? "is" : "are"} hidden by the filter.` : "";
      refused.textContent = blocked.length ? ` ${blockedText(blocked)}` : "";
      hint.hidden = any;
      for (const each of buttons) {
        each.button.disabled = !any || Boolean(each.blocked && blocked.length);
        each.button.title = each.button.disabled && blocked.length ? refused.textContent.trim() : "";
      }
      none.disabled = !any;
      untickHidden.hidden = !unseen;
      untickBlocked.hidden = !blocked.length || blocked.length === ticked.length;
    }
    function blockedText(rows) {
      const names = rows.slice(0, 3).map((row) => text(row[columns[0].name] ?? row[key]));
      const more = rows.length > names.length ? ` and ${rows.length - names.length} more` : "";
      return `${names.join(", ")}${more} ${rows.length === 1 ? "is" : "are"} protected. ${model.get("blocked_text")}`;
    }
    return { bar, update };
  }
  function plainButton(title, listener) {
    const button = make("button", { type: "button", className: "lcnb-plain", textContent: title });
    button.addEventListener("click", listener);
    return button;
  }

  // --- search and menus ----------------------------------------------------------------------------------------------
  function drawMenus() {
    const wanted = model.get("menus").flatMap((menu) => {
      const options = menuOptions(allRows(), menu), kept = chosen.get(menu.name);
      if (kept !== undefined && !options.some(([value]) => value === kept)) options.push([kept, `${kept || menu.none} – 0`]);
      const useful = options.length > 1 && (!menu.needs || options.some(([value]) => value === menu.needs));
      if (!useful && kept === undefined) return [];
      return [drawMenu(menu, options, 1 + options.findIndex(([value]) => value === kept))];
    });
    keepKeyboard(menus, () => setChildren(menus, wanted), () => find);
  }
  // The select of a menu, which stays the same one; its options are drawn again when they are others.
  function drawMenu(menu, options, place) {
    const { select, values } = selects.get(menu.name) ?? makeMenu(menu);
    const shownTexts = [...select.options].map((each) => each.text), wanted = [`any ${menu.title}`, ...options.map(([, title]) => title)];
    if (JSON.stringify(shownTexts) !== JSON.stringify(wanted)) select.replaceChildren(...wanted.map((each) => new Option(each)));
    values.splice(0, values.length, ...options.map(([value]) => value));
    select.selectedIndex = place;
    return select;
  }
  function makeMenu(menu) {
    const select = make("select", { name: menu.name, label: `Filter by ${menu.title}` }), values = [];
    select.addEventListener("change", () => {
      const place = select.selectedIndex;
      if (place) chosen.set(menu.name, values[place - 1]); else chosen.delete(menu.name);
      refilter();
    });
    selects.set(menu.name, { select, values });
    return selects.get(menu.name);
  }
  const searchable = (row) => texts.get(row) ?? (texts.set(row, searchText(row, columns)), texts.get(row));
  function filter() {
    let rows = allRows();
    for (const [name, value] of chosen) rows = rows.filter((row) => hasValue(row, name, value));
    if (words.length) rows = rows.filter((row) => words.every((word) => searchable(row).includes(word)));
    const column = sort && columns.find((each) => each.name === sort.name);
    shown = column ? sortRows(rows, column, sort.down) : rows;
    clear.hidden = !words.length && !chosen.size;
    for (const cell of head.children) if (cell.dataset.name)
      cell.setAttribute("aria-sort", sort?.name !== cell.dataset.name ? "none" : sort.down ? "descending" : "ascending");
    first = -1;
    drawRows();
    showTicks();
  }
  const refilter = () => { scroll.scrollTop = 0; filter(); };
  find.addEventListener("input", () => { words = comparable(find.value).split(/\s+/).filter(Boolean); refilter(); });
  clear.addEventListener("click", () => { find.value = ""; words = []; chosen.clear(); drawMenus(); refilter(); find.focus(); });

  // --- the table -----------------------------------------------------------------------------------------------------
  function drawHead() {
    const filled = (each) => !each.optional || allRows().some((row) => !isMissing(row[each.name]) && row[each.name].length !== 0);
    columns = model.get("columns").filter(filled);
    const wanted = JSON.stringify(columns);
    if (wanted === drawnColumns) return;
    drawnColumns = wanted;
    lines = new WeakMap(); texts = new WeakMap();
    const cells = columns.map((each) => titles.get(JSON.stringify(each)) ?? makeTitle(each));
    keepKeyboard(head, () => setChildren(head, [...(ticks ? [tickTitle] : []), ...cells]), (held) =>
      head.querySelector(`[data-name="${held.closest("th").dataset.name}"] button`) ?? scroll);
  }
  const tickTitle = make("th", { scope: "col", className: "tick" }, tickAll);
  function makeTitle(column) {
    const button = make("button", { type: "button", textContent: column.title });
    button.addEventListener("click", () => {
      sort = { name: column.name, down: sort?.name === column.name && !sort.down }; refilter();
    });
    const cell = make("th", { scope: "col", className: column.number ? "n" : "" }, button);
    cell.dataset.name = column.name;
    titles.set(JSON.stringify(column), cell);
    return cell;
  }
  // Columns keep their width while other rows come into view.
  function fixWidths() {
    const places = ticks ? 1 : 0;
    columns.forEach((each, place) => {
      let longest = 0;
      for (const row of allRows()) longest = Math.max(longest, each.kind === "time" ? 0 : cellText(row, each).length);
      head.children[place + places].style.minWidth = shown.length > WINDOW_ROWS ? `${Math.min(longest, 40) * 0.85}ch` : "";
    });
  }
  // Draws the rows around the visible ones, or around one that has the keyboard; space above and below stands for the others.
  function drawRows(at) {
    const height = body.firstElementChild?.offsetHeight || ROW_PX;
    const visible = at ?? Math.floor(scroll.scrollTop / height);
    const size = Math.max(WINDOW_ROWS, Math.ceil(scroll.clientHeight / height) + 2 * SPARE_ROWS);
    const start = Math.max(0, Math.min(Math.floor(visible / 10) * 10 - SPARE_ROWS, shown.length - size));
    if (start === first) return;
    first = start;
    const rows = shown.slice(start, start + size);
    table.setAttribute("aria-rowcount", shown.length + 1);
    const wanted = rows.map((row, place) => {
      const line = lines.get(row) || drawRow(row);
      line.setAttribute("aria-rowindex", start + place + 2);
      showTick(line);
      return line;
    });
    keepKeyboard(body, () => setChildren(body, wanted), (held) =>
      lineOf(held.closest("tr").dataset.key)?.querySelector(held.tagName.toLowerCase()) ?? scroll);
    pad.style.paddingTop = `${start * height}px`;
    pad.style.paddingBottom = `${(shown.length - start - rows.length) * height}px`;
  }
  const lineOf = (key) => [...body.children].find((line) => line.dataset.key === key);
  function drawAroundFocus(event) {
    const place = [...body.children].indexOf(event.target.closest("tr"));
    if (place < SPARE_ROWS / 2 || place > body.children.length - SPARE_ROWS / 2) drawRows(Math.max(0, first + place - SPARE_ROWS / 2));
  }
  function drawRow(row) {
    const line = make("tr"); line.dataset.key = text(row[key]); lines.set(row, line);
    if (ticks) {
      const cell = make("td", { className: "tick" });
      if (row[key]) {
        const box = make("input", { type: "checkbox", label: `tick ${nameOf(row)}` });
        box.addEventListener("click", (event) => { event.stopPropagation(); tickRow(row, box.checked, event.shiftKey); });
        line.addEventListener("mousedown", (event) => { if (event.shiftKey) event.preventDefault(); });
        cell.append(box);
      }
      line.append(cell);
    }
    if (row[key]) line.addEventListener("click", (event) => clickRow(row, event));
    columns.forEach((each, place) => line.append(drawCell(row, each, place)));
    return line;
  }
  // A click on a row opens it where rows can be opened; in the column of boxes, or with Shift or Ctrl, it ticks.
  function clickRow(row, event) {
    if (getSelection().toString()) return;
    const ticking = event.shiftKey || event.ctrlKey || event.metaKey || event.target.closest("td.tick");
    if (opens && !ticking) openRow(row);
    else if (ticks) tickRow(row, !picked.has(row[key]), event.shiftKey);
  }
  const nameOf = (row) => text(row[columns[0].name] ?? row[key]);
  function openRow(row) {
    opener = document.activeElement?.type === "checkbox" ? "input" : ".lcnb-open";
    dialog.open(row[key], nameOf(row)); dialog.showTick(picked.has(row[key]), ticks);
    model.send({ open: row[key] });
  }
  // Back to the row that was open, if it is still near the visible ones.
  function leaveDialog(key) {
    const line = lineOf(key);
    (line?.querySelector(opener) ?? scroll).focus({ preventScroll: Boolean(line) });
  }
  function pressKey(event) {
    const line = event.target.closest("tr"), row = shown[first + [...body.children].indexOf(line)];
    const down = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && event.target.type === "checkbox" && opens) openRow(row);
    else if (down) (down > 0 ? line.nextElementSibling : line.previousElementSibling)?.querySelector(event.target.tagName.toLowerCase())?.focus();
    else return;
    event.preventDefault();
  }
  function drawCell(row, column, place) {
    const cell = make(place ? "td" : "th", { className: column.number ? "n" : "" }), value = row[column.name];
    if (!place) cell.scope = "row";
    if (isMissing(value) || value.length === 0) cell.append(make("span", { className: "none", textContent: "–" }));
    else if (column.kind === "state") {
      const dot = make("i"); dot.style.background = model.get("colors")[value] || "currentColor"; cell.append(dot, text(value));
    } else if (column.kind === "tags") cell.append(...value.map((tag) => make("span", { className: "lcnb-tag", textContent: tag, title: tag })));
    else if (column.kind === "time") {
      const time = make("time", { dateTime: value, title: `${value.slice(0, 16).replace("T", " ")} UTC` });
      showTime(time, Date.now()); cell.append(time);
    } else { cell.append(opens && !place && row[key] ? openButton(row, cellText(row, column)) : cellText(row, column)); cell.title = cell.textContent; }
    if (opens && !place && row[key] && !cell.querySelector(".lcnb-open")) cell.replaceChildren(openButton(row, nameOf(row)));
    if (column.mark && row[column.mark.name] === "yes")
      cell.append(make("span", { className: "lcnb-shield", title: column.mark.help }, makeShield(), column.mark.title));
    return cell;
  }
  function openButton(row, name) {
    const button = make("button", { type: "button", className: "lcnb-open", textContent: name });
    button.setAttribute("aria-haspopup", "dialog");
    if (ticks) button.tabIndex = -1;  // the box is reached by Tab, and Enter in it opens the row
    button.addEventListener("click", (event) => { if (!event.shiftKey && !event.ctrlKey && !event.metaKey) { event.stopPropagation(); openRow(row); } });
    return button;
  }
  const text = (value) => isMissing(value) ? "" : String(value);
  function showTime(time, now) {
    time.textContent = fromNow(time.dateTime, now);
    time.className = time.textContent.startsWith("expired") ? "lcnb-bad" : "";
  }
  const clock = setInterval(() => {
    lines = new WeakMap();  // rows out of view are drawn again with the time of then
    body.querySelectorAll("time").forEach((each) => showTime(each, Date.now()));
  }, MINUTE_MS);
  scroll.addEventListener("scroll", () => drawRows(), { passive: true });
  body.addEventListener("focusin", drawAroundFocus);
  body.addEventListener("keydown", pressKey);

  const redraw = () => { takeRows(); drawHead(); drawMenus(); filter(); fixWidths(); };
  const takeTicks = () => { picked = new Set(model.get("selected")); showTicks(); };
  function readAgain() {
    const open = dialog.key() && allRows().find((row) => row[key] === dialog.key());
    redraw();
    if (open && !allRows().includes(open)) model.send({ open: dialog.key() });
  }
  function showReading() {
    const { at, note } = model.get("reading"), time = at && new Date(at);
    read.textContent = [time && `read ${time.toLocaleTimeString("en-GB")}`, note].filter(Boolean).join(", ");
    read.title = time ? time.toLocaleString("en-GB") : "";
  }
  // A form is being closed: back to the button that opened it, or to the table if nothing is ticked any more.
  function takeKeyboard() {
    const here = document.activeElement;
    if (here === document.body || here.closest(".lcnb-form")) (pressed && !pressed.disabled ? pressed : scroll).focus();
  }
  model.on("msg:custom", (message) => { if (message.do === "focus") takeKeyboard(); });
  model.on("msg:custom", ({ value, heard, details }) => {
    if (value !== undefined && (heard[id] || 0) >= sent) { model.set("selected", value); takeTicks(); }
    if (details) dialog.show(details);
  });
  model.on("change:rows", readAgain); model.on("change:columns", readAgain); model.on("change:selected", takeTicks);
  model.on("change:reading", showReading);
  picked = new Set(model.get("selected"));
  redraw();
  showReading();
  return () => clearInterval(clock);
}
export default { render };
