function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made;
}
function render({ model, el }) {
  // Not `el` is hidden: its display belongs to the widget's layout, which may come later than this.
  const label = make("span"), out = make("output");
  const hide = make("button", { type: "button", className: "jupyter-button", textContent: "Hide" });
  const row = make("div", { className: "lcnb-row lcnb-shown", hidden: true }, label, out, hide);
  out.setAttribute("aria-live", "polite");
  let timer;
  const clear = () => { out.textContent = ""; row.hidden = true; clearTimeout(timer); };
  hide.addEventListener("click", clear);
  model.on("msg:custom", (message) => {
    row.hidden = false; label.textContent = message.label; out.textContent = message.show;
    clearTimeout(timer); timer = setTimeout(clear, 1000 * message.seconds);
  });
  el.append(row);
  return clear;
}
export default { render };
