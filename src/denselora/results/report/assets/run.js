/** A run: its figures, its loss, its config, and its answers. */
function runPage(id, benchmark) {
  const run = RUNS.get(id);
  if (!run) return missing();
  const [b, r] = ROW_OF.get(id);
  const { average, training } = run;
  const others = DATA.runs.filter((other) => other !== run && common(run, other).length);
  return [
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Measured"), " › ",
      h("a", { href: address("setting", b, r) }, DATA.blocks[b].rows[r].label), " › ", where(run)),
    h("h1", {}, title(run)),
    h("p", { class: "soft" }, h("span", { class: "mono" }, run.id), " · ",
      h("a", { href: `runs/${encodeURIComponent(run.id)}/record.json` }, "record.json")),
    run.collapsed ? h("p", { class: "notice" }, `Collapsed: ${run.collapsed}`) : null,
    h("dl", { class: "facts" },
      average ? fact("Average", `${percent(average.accuracy)} %`) : null,
      average ? fact("95 % interval", average.ci95.map(percent).join("–")) : null,
      fact("Trainable", `${whole(run.trainable)} (${run.percent.toFixed(3)} %)`),
      run.trainRows === null ? null : fact("Training rows", whole(run.trainRows)),
      training ? fact("Steps", whole(training.steps)) : null,
      training && training.tokens_per_s ? fact("Tokens a second", whole(Math.round(training.tokens_per_s))) : null,
      training ? fact("Training time", `${whole(Math.round(training.seconds))} s`) : null,
      training && training.validation_loss_nats !== null
        ? fact("Validation loss", `${training.validation_loss_nats.toPrecision(3)} nats`) : null),
    h("div", { class: "actions" },
      select("Compare with", [["", "choose a run"], ...others.map((other) => [other.id, title(other)])], "",
        (other) => { if (other) location.hash = address("compare", run.id, other); })),
    benchmarkTable(run),
    h("h2", {}, "Loss"),
    curves([run], "Training and validation loss") ?? h("p", { class: "soft" }, "No loss curve is among the results."),
    h("h2", { id: "predictions" }, "Predictions"),
    predictions(run, benchmark),
    h("h2", {}, "How it was made"),
    details(run),
  ];
}

function benchmarkTable(run) {
  const rows = Object.entries(run.benchmarks).map(([name, part]) => ({ name, ...part }));
  const column = (name, value, cell) => ({ name, number: true, value, cell });
  return table([
    { name: "Benchmark", value: (row) => HEADINGS[row.name],
      cell: (row) => h("a", { href: address("run", run.id, row.name) }, HEADINGS[row.name]) },
    column("Right", (row) => row.correct, (row) => whole(row.correct)),
    column("Rows", (row) => row.n, (row) => (row.n < row.full_n ? `${whole(row.n)} of ${whole(row.full_n)}` : whole(row.n))),
    column("Unparsed", (row) => row.unparsed, (row) => whole(row.unparsed)),
    column("Ambiguous", (row) => row.ambiguous, (row) => (row.ambiguous === null ? "–" : whole(row.ambiguous))),
    column("Accuracy", (row) => row.accuracy, (row) => percent(row.accuracy)),
    column("95 % interval", (row) => row.ci95[0], (row) => row.ci95.map(percent).join("–")),
    column("Chance", (row) => row.chance, (row) => percent(row.chance)),
  ], rows);
}

const GROUPS = { config: "Config", evaluation: "Evaluation", training: "Training" };

/** All else of the record, by the part that it is of. */
function details(run) {
  const pairs = run.details.map((number) => DATA.pairs[number]);
  const groups = new Map([["Config", []], ["Evaluation", []], ["Training", []], ["Record, code and machine", []]]);
  for (const [key, value] of pairs) {
    const [first, ...rest] = key.split(".");
    const group = GROUPS[first];
    groups.get(group ?? "Record, code and machine").push([group ? rest.join(".") : key, value]);
  }
  return [...groups].filter(([, own]) => own.length).map(([name, own]) => h("details", { open: name === "Config" },
    h("summary", {}, name),
    h("dl", { class: "config mono" }, own.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]))));
}
