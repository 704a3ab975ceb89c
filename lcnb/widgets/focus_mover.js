// Moves the keyboard to a control of this form, unless somebody is using another part of the page meanwhile.
function render({ model, el }) {
  model.on("msg:custom", ({ to }) => {
    const form = el.closest(".lcnb-form"), app = el.closest(".lcnb-admin"), here = document.activeElement;
    const isFree = here === document.body || form.contains(here) || (here.matches("button") && app.contains(here));
    const place = form.querySelector("." + to);
    const control = place?.matches("button") ? place : place?.querySelector("input, select, textarea");
    if (isFree) control?.focus();
  });
}
export default { render };
