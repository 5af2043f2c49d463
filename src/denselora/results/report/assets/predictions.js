/** A run's answers row by row, wrong ones first; by benchmark, outcome and words. */
function predictions(run, benchmark) {
  const names = Object.keys(run.benchmarks).filter((name) => answersOf(run, name));
  if (!names.length) return [h("p", { class: "notice" }, "Its predictions are not among the results.")];
  const state = { benchmark: names.includes(benchmark) ? benchmark : "", outcome: "", words: "" };
  const holder = h("div");
  const all = names.flatMap((name) => answersOf(run, name));
  function draw() {
    const words = state.words.toLowerCase();
    const rows = all.filter((row) => (!state.benchmark || row.benchmark === state.benchmark)
      && (!state.outcome || outcome(row) === state.outcome)
      && (!words || [row.raw, row.prompt, row.gold, row.parsed ?? ""].some((text) => text.toLowerCase().includes(words))));
    holder.replaceChildren(h("p", { class: "notes" }, `${whole(rows.length)} of ${whole(all.length)} rows`),
      table(PREDICTION_COLUMNS, inOrder(rows, wrongFirst, false), { empty: "no row fits" }));
  }
  const set = (key) => (value) => { state[key] = value; draw(); };
  draw();
  return [
    h("div", { class: "actions" },
      select("Benchmark", [["", "all"], ...names.map((name) => [name, HEADINGS[name]])], state.benchmark, set("benchmark")),
      select("Answers", [["", "all, wrong ones first"], ["wrong", "wrong"], ["unparsed", "unparsed"], ["right", "right"]], "", set("outcome")),
      search("Search", "", set("words"))),
    holder];
}

const outcome = (row) => (row.correct ? "right" : row.parsed === null ? "unparsed" : "wrong");

const PREDICTION_COLUMNS = [
  { name: "Benchmark", value: (row) => row.benchmark, cell: (row) => HEADINGS[row.benchmark] },
  { name: "Row", number: true, value: (row) => row.id, cell: (row) => String(row.id) },
  { name: "Prompt hash", value: (row) => row.prompt, className: () => "mono", cell: (row) => row.prompt },
  { name: "Text", value: (row) => row.raw, className: () => "raw", cell: (row) => row.raw },
  { name: "Parsed", value: (row) => row.parsed, cell: (row) => row.parsed ?? "–" },
  { name: "Gold", value: (row) => row.gold, cell: (row) => row.gold },
  { name: "Outcome", value: wrongFirst, className: (row) => (row.correct ? "right" : "wrong"), cell: outcome },
];
