function render({ model, el }) {
  const id = "lcnb-choice-" + Math.random().toString(36).slice(2);
  el.classList.add("lcnb-choice");
  const label = document.createElement("label"); label.htmlFor = id; label.textContent = model.get("label");
  const box = document.createElement("select"); box.id = id;
  el.append(label, box);
  const draw = () => {
    box.replaceChildren(...model.get("options").map(([value, text]) => new Option(text, value)));
    pick();
  };
  const pick = () => { if (box.value !== model.get("value")) box.value = model.get("value"); };
  box.addEventListener("change", () => { model.set("value", box.value); model.send({ chosen: box.value }); });
  model.on("change:options", draw); model.on("change:value", pick);
  draw();
}
export default { render };
