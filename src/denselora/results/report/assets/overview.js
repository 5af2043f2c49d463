const UNFILTERED = { model: "", protocol: "", scoring: "", method: "", seed: "", settings: "main", words: "" };
const FILTER = { ...UNFILTERED };
const FIELDS = { model: "Model", protocol: "Protocol", scoring: "Scoring", method: "Method", seed: "Seed" };

/** All tables and charts of what was measured. */
function overview() {
  const content = h("div");
  const filters = h("div", { class: "filters", role: "search", "aria-label": "Filters" });
  const set = (key) => (value) => {
    FILTER[key] = value;
    draw();
  };
  function draw() {
    content.replaceChildren(...sections());
    showChoice();
  }
  function begin() {
    filters.replaceChildren(
      ...Object.entries(FIELDS).map(([key, label]) => select(label, choices(key), FILTER[key], set(key))),
      select("Settings", settingChoices(), FILTER.settings, set("settings")),
      search("Search", FILTER.words, set("words")),
      h("button", { onclick: () => { Object.assign(FILTER, UNFILTERED); begin(); } }, "Reset"));
    draw();
  }
  begin();
  const days = DATA.runs.map((run) => run.created.slice(0, 10)).sort();
  const span = days.length ? `, evaluated ${[...new Set([days[0], days.at(-1)])].join(" to ")}` : "";
  return [
    h("h1", {}, "What was measured"),
    h("p", { class: "soft" }, `${whole(DATA.runs.length)} runs${span}. A number leads to its runs, a run to its `
      + "config, its loss and each of its answers. Accuracy in %."),
    filters, content];
}

function choices(key) {
  const values = [...new Set(DATA.runs.map((run) => run[key]).filter((value) => value !== null))];
  values.sort((a, b) => (typeof a === "number" ? a - b : a.localeCompare(b)));
  return [["", "all"], ...values.map((value) => [String(value), String(value)])];
}

function settingChoices() {
  const varied = [...new Set(DATA.blocks.flatMap((block) => block.rows.map((row) => row.varied)))].filter(Boolean).sort();
  return [["main", "usual, or several seeds"],
    ...varied.map((name) => [`by ${name}`, `by ${name}`]), ["", "all"]];
}

const fits = (run) => Object.keys(FIELDS).every((key) => !FILTER[key] || String(run[key]) === FILTER[key]);

/** The rows that fit the filters; settings: which of them, as FILTER has it. */
function shownRows(block, settings) {
  const words = FILTER.words.toLowerCase().split(/\s+/).filter(Boolean);
  const varied = settings.startsWith("by ") ? settings.slice(3) : null;
  const named = new Set(block.rows.filter((row) => row.varied === varied).map((row) => `${row.method} ${row.r}`));
  return block.rows.filter((row) => {
    const text = `${row.label} r=${row.r} ${row.runs.map((run) => DATA.runs[run].id).join(" ")}`.toLowerCase();
    const isShown = settings === "" || (settings === "main" && (!row.varied || row.runs.length > 1))
      || (varied && (row.varied === varied || (!row.varied && named.has(`${row.method} ${row.r}`))));
    return isShown && row.runs.some((run) => fits(DATA.runs[run])) && words.every((word) => text.includes(word));
  });
}

function sections() {
  const found = DATA.blocks.map((block, number) => [block, number, shownRows(block, FILTER.settings)]).filter(([, , rows]) => rows.length);
  if (!found.length) return [h("p", { class: "notice" }, "No run fits all of these filters.")];
  return found.map(([block, number, rows]) => blockSection(block, number, rows));
}

function blockSection(block, number, rows) {
  const link = (row) => address("setting", number, block.rows.indexOf(row));
  const charts = [];
  const points = shownRows(block, ""); // a chart tells usual settings from variants itself
  if (points.filter((row) => row.drawn).length > 1) charts.push(scatter(block, points, link));
  const drawnRuns = block.curves.flatMap((row) => block.rows[row].runs.map((run) => DATA.runs[run]).filter(fits).slice(0, 1));
  const loss = drawnRuns.length ? curves(drawnRuns, "Training loss, each method's best setting") : null;
  if (loss) charts.push(loss);
  const single = FILTER.seed !== "";
  return h("section", {},
    h("h2", {}, block.title),
    h("p", { class: "soft" }, block.statement),
    charts.length ? h("div", { class: "charts" }, charts) : null,
    single ? runTable(block, rows.flatMap((row) => row.runs).map((run) => DATA.runs[run]).filter(fits))
      : settingTable(block, number, rows),
    single ? h("p", { class: "notes" }, "Single runs, because a seed is chosen.")
      : h("ul", { class: "notes" }, block.notes.map((note) => h("li", {}, note))));
}

// what is looked at first; the benchmarks follow, and what else a table in tables/ has
const FIRST = ["Method", "r", "Trainable", "Training rows", "Seeds", "Average", "95 % CI", "Δ LoRA", "Δ published"];

/** The table as tables/ has it, a row for each setting over its seeds; in an order to look at. */
function settingTable(block, number, rows) {
  const keys = Object.fromEntries(Object.entries(block.benchmarks).map(([key, heading]) => [heading, key]));
  const best = bestOf(block, rows);
  const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length + (keys[name] ? 0 : 1));
  const places = inOrder([...block.columns.keys()], (place) => rank(block.columns[place]), false);
  return table(places.map((place) => [block.columns[place], place]).map(([name, place]) => ({
    name,
    number: place > 0,
    value: (row) => (place ? numberIn(row.cells[place]) : row.cells[0]),
    className: (row) => (place ? (best[place] !== null && numberIn(row.cells[place]) === best[place] ? "best" : "") : "label"),
    cell: (row) => h("a", { href: address("setting", number, block.rows.indexOf(row), ...(keys[name] ? [keys[name]] : [])),
      title: place ? null : row.label }, place ? null : swatch(row.colour), row.cells[place]),
  })), rows);
}

/** The highest accuracy of each column, where there is something to compare; null elsewhere. */
function bestOf(block, rows) {
  const judged = new Set([...Object.values(block.benchmarks), "Average"]);
  return block.columns.map((name, place) => {
    const values = rows.map((row) => numberIn(row.cells[place])).filter((value) => value !== null);
    return judged.has(name) && new Set(values).size > 1 ? Math.max(...values) : null;
  });
}

/** A row for each run. */
function runTable(block, runs) {
  const accuracy = (key) => (run) => run.benchmarks[key]?.accuracy;
  return table([
    { name: "Run", value: (run) => run.id, className: () => "label",
      cell: (run) => h("a", { href: address("run", run.id), title: run.id }, swatch(rowOf(run).colour), rowOf(run).label) },
    { name: "r", number: true, value: (run) => run.r, cell: (run) => run.r ?? "–" },
    { name: "Trainable", number: true, value: (run) => run.trainable, cell: (run) => whole(run.trainable) },
    { name: "Seed", number: true, value: (run) => run.seed, cell: (run) => run.seed ?? "–" },
    ...Object.entries(block.benchmarks).map(([key, heading]) => ({
      name: heading, number: true, value: accuracy(key),
      cell: (run) => (run.benchmarks[key]
        ? h("a", { href: address("run", run.id, key) }, percent(run.benchmarks[key].accuracy)) : "–") })),
    { name: "Average", number: true, value: (run) => run.average?.accuracy,
      cell: (run) => (run.average ? h("a", { href: address("run", run.id) }, percent(run.average.accuracy)) : "–") },
    { name: "Compare", cell: chooser },
  ], runs, { sort: "Average", descending: true });
}

/** What others report, as tables/ has it. */
function published() {
  return [
    h("h1", {}, "What others report"),
    h("p", { class: "soft" }, "Not measured here, and under settings that differ between the sources."),
    ...DATA.published.map((sheet) => h("section", {},
      h("h2", {}, sheet.title),
      h("p", { class: "soft" }, sheet.statement),
      table(sheet.columns.map((name, place) => ({
        name,
        number: place > 0 && name !== "Trust" && name !== "Source",
        value: (row) => (place && numberIn(row[place]) !== null ? numberIn(row[place]) : row[place] === "–" ? null : row[place]),
        cell: (row) => row[place],
      })), sheet.rows),
      h("ul", { class: "notes" }, sheet.notes.map((note) => h("li", {}, note)))))];
}
