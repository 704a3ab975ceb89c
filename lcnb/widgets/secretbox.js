function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made;
}
function render({ model, el }) {
  // Hide a row inside `el`: the layout of the widget sets the display of `el` itself, possibly later than this code.
  const label = make("span"), out = make("output"), note = make("span");
  const hide = make("button", { type: "button", className: "jupyter-button", textContent: "Hide" });
  const row = make("div", { className: "lcnb-row lcnb-shown", hidden: true }, label, out, hide, note);
  out.setAttribute("aria-live", "polite");
  let timer;
  const clear = () => { out.textContent = ""; row.hidden = true; clearTimeout(timer); };
  hide.addEventListener("click", clear);
  model.on("msg:custom", (message) => {
    row.hidden = false; label.textContent = message.label; out.textContent = message.show;
    note.textContent = `shown for ${message.seconds} s; not saved in any file`;
    clearTimeout(timer); timer = setTimeout(clear, 1000 * message.seconds);
  });
  el.append(row);
  return clear;
}
export default { render };
