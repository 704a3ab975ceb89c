function render({ model, el }) {
  const id = "lcnb-secret-" + Math.random().toString(36).slice(2);
  el.classList.add("lcnb-secret");
  const row = document.createElement("div"); row.className = "lcnb-secret-row";
  const label = document.createElement("label"); label.htmlFor = id; label.textContent = model.get("label");
  row.append(label);
  if (model.get("shows")) {
    const out = document.createElement("output"); out.id = id; out.setAttribute("aria-live", "polite");
    const hide = document.createElement("button"); hide.type = "button"; hide.className = "jupyter-button";
    hide.textContent = "Hide"; hide.hidden = true;
    let timer;
    const clear = () => { out.textContent = ""; el.style.display = "none"; clearTimeout(timer); };
    el.style.display = "none";
    hide.addEventListener("click", clear);
    model.on("msg:custom", (message) => {
      if (message.show === undefined) { clear(); return; }
      label.textContent = message.label; out.textContent = message.show; hide.hidden = false; el.style.display = "";
      clearTimeout(timer); timer = setTimeout(clear, 1000 * message.seconds);
    });
    row.append(out, hide); el.append(row);
    return () => clear();
  }
  const box = document.createElement("input");
  box.type = "password"; box.id = id; box.autocomplete = "new-password";
  const told = () => { const n = model.get("taken"); box.placeholder = n ? `${n} characters taken; type to replace` : ""; };
  box.addEventListener("change", () => {
    if (box.value) model.send({ secret: box.value });
    box.value = "";
  });
  model.on("change:taken", told); told();
  row.append(box); el.append(row);
}
export default { render };
