const TAGS = { choice: "select", area: "textarea", rows: "output" };
const REST_MS = 300;
function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made;
}
function render({ model, el }) {
  const kind = model.get("kind"), id = "lcnb-answer-" + Math.random().toString(36).slice(2);
  const label = make("label", { htmlFor: id, textContent: model.get("label") });
  const box = make(TAGS[kind] || "input", { id });
  const list = make("datalist", { id: id + "-list" }), note = make("div", { id: id + "-note", className: "lcnb-hint" });
  const row = make("div", { className: "lcnb-row" });
  row.append(...(kind === "flag" ? [box, label] : [label, box]));
  el.classList.add("lcnb-answer", "lcnb-answer-" + kind); el.append(row, note);
  box.setAttribute("aria-describedby", note.id);
  box.setAttribute("data-lm-suppress-shortcuts", "true");  // arrows choose an option here, not a cell of JupyterLab

  const put = () => {
    const value = model.get("value");
    if (kind === "flag") box.checked = value;
    else if (kind === "rows") box.textContent = value;
    else if (kind !== "secret" && box.value !== value) box.value = value;
  };
  const offer = () => {
    const options = model.get("options");
    if (kind === "choice") { box.replaceChildren(...options.map(([value, text]) => new Option(text, value))); put(); }
    if (kind === "suggest") list.replaceChildren(...options.map(([value]) => new Option(value, value)));
  };
  const hint = () => { if (kind !== "rows") box.placeholder = model.get("placeholder"); };
  const showNote = () => {
    const error = model.get("error"), help = model.get("help");
    box.setAttribute("aria-invalid", error ? "true" : "false");
    const line = make("span", { className: error ? "lcnb-bad" : "lcnb-help", textContent: error || help });
    if (error) line.setAttribute("role", "alert");
    note.replaceChildren(...(line.textContent ? [line] : []));
  };

  let sent = 0, waiting = null, byKeyboard = false;
  const deliver = () => {
    clearTimeout(waiting); waiting = null;
    const answer = kind === "flag" ? box.checked : box.value;
    model.set("value", answer); model.send({ answer, by: id, n: sent });
  };
  const flush = () => { if (waiting !== null) deliver(); };
  const send = () => { sent += 1; deliver(); };
  // Each arrow key chooses an option, and a chosen runbook builds a form: the choice is sent once the keys rest.
  const sendAtRest = () => {
    sent += 1; clearTimeout(waiting); waiting = setTimeout(deliver, REST_MS);
    if (!byKeyboard) flush();
  };
  model.on("msg:custom", ({ value, heard }) => {
    if (value !== undefined && (heard[id] || 0) >= sent) { model.set("value", value); put(); }
  });
  if (kind === "secret") {
    box.type = "password"; box.autocomplete = "new-password";
    box.addEventListener("change", () => { if (box.value) model.send({ secret: box.value }); box.value = ""; });
  } else if (kind === "flag") {
    box.type = "checkbox"; box.addEventListener("change", send);
  } else if (kind !== "rows") {
    if (kind === "suggest") { box.setAttribute("list", list.id); row.append(list); }
    if (kind === "text") box.autocomplete = "off";
    if (box.tagName === "TEXTAREA") box.rows = 3;
    if (kind === "choice") {
      box.addEventListener("keydown", ({ key }) => { byKeyboard = key !== "Enter" && key !== "Tab"; if (!byKeyboard) flush(); });
      box.addEventListener("pointerdown", () => { byKeyboard = false; });
      box.addEventListener("blur", () => { byKeyboard = false; flush(); });
      box.addEventListener("change", sendAtRest);
    } else box.addEventListener("input", send);
  }
  for (const [name, draw] of Object.entries({ options: offer, value: put, placeholder: hint, help: showNote, error: showNote }))
    model.on("change:" + name, draw);
  offer(); put(); hint(); showNote();
  return flush;
}
export default { render };
