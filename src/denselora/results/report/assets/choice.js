/** Up to two runs that are to be compared; a bar at the foot of the page shows them. */
const CHOSEN = [];

function choose(id) {
  if (CHOSEN.includes(id)) CHOSEN.splice(CHOSEN.indexOf(id), 1);
  else CHOSEN.push(id);
  if (CHOSEN.length > 2) CHOSEN.shift();
  showChoice();
}

function showChoice() {
  const bar = document.getElementById("choice");
  bar.hidden = !CHOSEN.length;
  bar.replaceChildren(
    h("span", { class: "soft" }, CHOSEN.length < 2 ? "Choose a second run to compare:" : "Compare:"),
    ...CHOSEN.map((id) => h("span", {}, h("a", { href: address("run", id) }, title(RUNS.get(id))), " ",
      h("button", { "aria-label": `remove ${id}`, onclick: () => choose(id) }, "✕"))),
    ...(CHOSEN.length === 2 ? [h("a", { class: "go", href: address("compare", ...CHOSEN) }, "side by side →")] : []));
  for (const box of document.querySelectorAll("input[data-run]")) box.checked = CHOSEN.includes(box.dataset.run);
}

const chooser = (run) => h("input", { type: "checkbox", "data-run": run.id, checked: CHOSEN.includes(run.id),
  "aria-label": `compare ${run.id}`, onchange: () => choose(run.id) });
