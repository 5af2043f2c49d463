/** A cell of a table: one setting, on one benchmark or on average, and the runs behind it. */
function setting(b, r, benchmark) {
  const block = DATA.blocks[b];
  const row = block?.rows[r];
  if (!row || (benchmark && !block.benchmarks[benchmark])) return missing();
  const runs = row.runs.map((run) => DATA.runs[run]);
  const heading = benchmark ? block.benchmarks[benchmark] : "Average";
  const cell = row.cells[block.columns.indexOf(heading)] ?? "–";
  const part = (run) => (benchmark ? run.benchmarks[benchmark] : run.average);
  const loraOf = (run) => row.lora.map((other) => DATA.runs[other]).find((other) => other.seed === run.seed);
  const names = [["", "Average"], ...Object.entries(block.benchmarks)];
  return [
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Measured"), " › ", block.title),
    h("h1", {}, row.label, row.r ? ` r=${row.r}` : ""),
    h("dl", { class: "facts" },
      fact(heading, `${cell}${/\d/.test(cell) ? " %" : ""}`),
      fact("Trainable", whole(row.trainable)),
      fact("Runs", String(runs.length)),
      row.cells[block.columns.indexOf("Δ LoRA")] ? fact("To LoRA", row.cells[block.columns.indexOf("Δ LoRA")]) : null),
    h("div", { class: "actions" }, select("Benchmark", names, benchmark ?? "",
      (key) => { location.hash = address("setting", b, r, ...(key ? [key] : [])); })),
    table([
      { name: "Run", value: (run) => run.id, className: () => "label",
        cell: (run) => h("a", { href: address("run", run.id, ...(benchmark ? [benchmark] : [])) }, run.id) },
      { name: "Seed", number: true, value: (run) => run.seed, cell: (run) => run.seed ?? "–" },
      { name: "Right", number: true, value: (run) => right(run, benchmark), cell: (run) => whole(right(run, benchmark)) },
      { name: "Rows", number: true, value: (run) => asked(run, benchmark), cell: (run) => whole(asked(run, benchmark)) },
      { name: "Accuracy", number: true, value: (run) => part(run)?.accuracy,
        cell: (run) => (part(run) ? percent(part(run).accuracy) : "–") },
      { name: "95 % interval", number: true, value: (run) => part(run)?.ci95[0],
        cell: (run) => (part(run) ? part(run).ci95.map(percent).join("–") : "–") },
      { name: "McNemar against LoRA", number: true, title: "exact p-value, run with the same seed",
        value: (run) => against(run, loraOf(run), benchmark)?.p,
        cell: (run) => {
          const test = against(run, loraOf(run), benchmark);
          return test ? h("a", { href: address("compare", run.id, loraOf(run).id) },
            `p = ${pValue(test.p)} (${test.onlyA} : ${test.onlyB})`) : "–";
        } },
      { name: "Compare", cell: chooser },
    ], runs),
    h("p", { class: "notes" }, "McNemar: in brackets, rows that only this run has right, and rows that only LoRA has."),
    curves(runs.slice(0, 3), runs.length > 3 ? "Training loss, first three seeds" : "Training loss"),
  ];
}

const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
const partsOf = (run, benchmark) => (benchmark ? [run.benchmarks[benchmark]].filter(Boolean) : Object.values(run.benchmarks));
const right = (run, benchmark) => partsOf(run, benchmark).reduce((sum, part) => sum + part.correct, 0);
const asked = (run, benchmark) => partsOf(run, benchmark).reduce((sum, part) => sum + part.n, 0);

function missing() {
  return [h("h1", {}, "Not in this report"), h("p", {}, h("a", { href: "#/" }, "All that was measured"))];
}
