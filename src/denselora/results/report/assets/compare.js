/** Benchmarks on which two runs were asked the same. */
const common = (one, other) => Object.keys(one.benchmarks).filter((name) => {
  const [a, b] = [one.benchmarks[name], other.benchmarks[name]];
  return b && a.answers !== undefined && b.answers !== undefined && a.set === b.set;
});

/** Rows that only one of two runs has right, and McNemar's p; null where they can't be compared. */
function against(one, other, benchmark) {
  if (!other || one === other) return null;
  const names = common(one, other).filter((name) => !benchmark || name === benchmark);
  if (!names.length) return null;
  let [onlyA, onlyB] = [0, 0];
  for (const name of names) {
    const theirs = answersOf(other, name);
    answersOf(one, name).forEach((row, id) => {
      if (row.correct && !theirs[id].correct) onlyA += 1;
      if (!row.correct && theirs[id].correct) onlyB += 1;
    });
  }
  return { onlyA, onlyB, p: mcnemar(onlyA, onlyB) };
}

/** Two runs beside each other. */
function compare(first, second) {
  const [a, b] = [RUNS.get(first), RUNS.get(second)];
  if (!a || !b) return missing();
  const names = common(a, b);
  const intro = [
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Measured"), " › two runs"),
    h("h1", {}, h("a", { href: address("run", a.id) }, `A: ${title(a)}`), " and ",
      h("a", { href: address("run", b.id) }, `B: ${title(b)}`)),
    h("p", { class: "soft" }, where(a) === where(b) ? where(a) : `A: ${where(a)}. B: ${where(b)}.`),
    h("div", { class: "actions" }, h("button", { onclick: () => { location.hash = address("compare", b.id, a.id); } }, "Swap A and B")),
  ];
  if (!names.length) {
    return [...intro, h("p", { class: "notice" }, "They were not asked the same prompts, or their predictions are not here, "
      + "so that no row can be set against another."), differingDetails(a, b)];
  }
  const rows = [...names, null].map((name) => ({ name, ...against(a, b, name),
    a: right(a, name) / asked(a, name), b: right(b, name) / asked(b, name) }));
  const total = rows.at(-1);
  [total.a, total.b] = [a, b].map((run) => names.reduce((sum, name) => sum + run.benchmarks[name].accuracy, 0) / names.length);
  return [...intro,
    h("dl", { class: "facts" },
      fact("A, average", `${percent(total.a)} %`), fact("B, average", `${percent(total.b)} %`),
      fact("Difference", `${signed(100 * (total.a - total.b))} points`),
      fact("McNemar over all rows", `p = ${pValue(total.p)}`)),
    table([
      { name: "Benchmark", value: (row) => (row.name ? HEADINGS[row.name] : "all"),
        cell: (row) => (row.name ? HEADINGS[row.name] : "Average; tests over all rows") },
      { name: "A", number: true, value: (row) => row.a, cell: (row) => percent(row.a) },
      { name: "B", number: true, value: (row) => row.b, cell: (row) => percent(row.b) },
      { name: "A − B", number: true, value: (row) => row.a - row.b, cell: (row) => signed(100 * (row.a - row.b)) },
      { name: "Only A right", number: true, value: (row) => row.onlyA, cell: (row) => whole(row.onlyA) },
      { name: "Only B right", number: true, value: (row) => row.onlyB, cell: (row) => whole(row.onlyB) },
      { name: "McNemar p", number: true, value: (row) => row.p, cell: (row) => pValue(row.p) },
    ], rows),
    h("p", { class: "notes" }, "McNemar: exact, two-sided. One pair of runs says nothing about other seeds."),
    h("h2", {}, "Loss"),
    curves([a, b], "Training and validation loss") ?? h("p", { class: "soft" }, "No loss curve is among the results."),
    h("h2", {}, "Rows that they answer differently"),
    differences(a, b, names),
    h("h2", {}, "Config in which they differ"),
    differingDetails(a, b)];
}

function differences(a, b, names) {
  const state = { benchmark: "", who: "" };
  const holder = h("div");
  const who = (row) => (row.a.correct ? (row.b.correct ? "both right" : "only A right") : row.b.correct ? "only B right" : "both wrong");
  const all = names.flatMap((name) => {
    const theirs = answersOf(b, name);
    return answersOf(a, name).map((row, id) => ({ a: row, b: theirs[id] }));
  }).filter((row) => row.a.parsed !== row.b.parsed || row.a.raw !== row.b.raw);
  function draw() {
    const rows = all.filter((row) => (!state.benchmark || row.a.benchmark === state.benchmark) && (!state.who || who(row) === state.who));
    holder.replaceChildren(h("p", { class: "notes" }, `${whole(rows.length)} of ${whole(all.length)} rows`), table([
      { name: "Benchmark", value: (row) => row.a.benchmark, cell: (row) => HEADINGS[row.a.benchmark] },
      { name: "Row", number: true, value: (row) => row.a.id, cell: (row) => String(row.a.id) },
      { name: "Prompt hash", value: (row) => row.a.prompt, className: () => "mono", cell: (row) => row.a.prompt },
      { name: "Text of A", value: (row) => row.a.raw, className: () => "raw", cell: (row) => row.a.raw },
      { name: "Text of B", value: (row) => row.b.raw, className: () => "raw", cell: (row) => row.b.raw },
      { name: "Gold", value: (row) => row.a.gold, cell: (row) => row.a.gold },
      { name: "Who", value: who, cell: who },
    ], rows, { empty: "no such row" }));
  }
  const set = (key) => (value) => { state[key] = value; draw(); };
  draw();
  return [h("div", { class: "actions" },
    select("Benchmark", [["", "all"], ...names.map((name) => [name, HEADINGS[name]])], "", set("benchmark")),
    select("Who is right", [["", "all"], ...["only A right", "only B right", "both right", "both wrong"].map((w) => [w, w])], "", set("who"))),
  holder];
}

function differingDetails(a, b) {
  const [ours, theirs] = [a, b].map((run) => new Map(run.details.map((number) => DATA.pairs[number])));
  const keys = [...new Set([...ours.keys(), ...theirs.keys()])]
    .filter((key) => key.startsWith("config.") && ours.get(key) !== theirs.get(key));
  return table([
    { name: "Option", value: (key) => key, className: () => "mono", cell: (key) => key.slice("config.".length) },
    { name: "A", value: (key) => ours.get(key), className: () => "raw mono", cell: (key) => ours.get(key) ?? "–" },
    { name: "B", value: (key) => theirs.get(key), className: () => "raw mono", cell: (key) => theirs.get(key) ?? "–" },
  ], keys, { empty: "none" });
}
