const PAGE_ROWS = 200;

/**
 * A table that is sorted by a click on a heading, and shows further rows on demand.
 *
 * columns: {name, value(row) to sort by, cell(row) to show, number, className(row), title}. sort: name of a
 * column to begin with, or null for the order of the rows.
 */
function table(columns, rows, { sort = null, descending = false, empty = "nothing to show" } = {}) {
  const state = { sort, descending, shown: PAGE_ROWS };
  const head = h("tr");
  const body = h("tbody");
  const more = h("div", { class: "more" });
  const holder = h("div", { class: "scroll" },
    h("table", {}, h("thead", {}, head), body), more);

  function sortBy(column) {
    const again = state.sort === column.name;
    // numbers are looked through from the highest
    state.descending = again ? !state.descending : Boolean(column.number);
    state.sort = column.name;
    draw();
  }

  function draw() {
    const hadFocus = head.contains(document.activeElement);
    head.replaceChildren(...columns.map((column) => {
      const sorted = state.sort === column.name;
      const direction = sorted ? (state.descending ? "descending" : "ascending") : "none";
      const button = h("button", { class: "sort", onclick: () => sortBy(column) }, column.name);
      const cell = h("th", { scope: "col", class: column.number ? "number" : null, title: column.title,
        "aria-sort": direction }, column.value ? button : column.name);
      if (sorted && hadFocus) queueMicrotask(() => button.focus());
      return cell;
    }));
    const by = columns.find((column) => column.name === state.sort);
    const ordered = by ? inOrder(rows, by.value, state.descending) : rows;
    const lines = ordered.slice(0, state.shown).map((row) => h("tr", {}, columns.map((column) => {
      const classes = [column.number ? "number" : "", column.className ? column.className(row) : ""];
      return h("td", { class: classes.join(" ").trim() || null }, column.cell(row));
    })));
    if (!rows.length) lines.push(h("tr", {}, h("td", { class: "empty", colspan: columns.length }, empty)));
    body.replaceChildren(...lines);
    const left = rows.length - state.shown;
    more.hidden = left <= 0;
    more.replaceChildren(`${whole(Math.min(state.shown, rows.length))} of ${whole(rows.length)} rows. `,
      h("button", { onclick: () => { state.shown += PAGE_ROWS; draw(); } },
        `${whole(Math.min(Math.max(left, 0), PAGE_ROWS))} more`));
  }

  draw();
  return holder;
}

/** Rows sorted by a value; those without one stay at the end, equals in their order. */
function inOrder(rows, value, descending) {
  const missing = (x) => x === null || x === undefined || Number.isNaN(x);
  const compare = (a, b) => (typeof a === "number" && typeof b === "number"
    ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  return rows.map((row) => [value(row), row]).sort(([a], [b]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return descending ? compare(b, a) : compare(a, b);
  }).map(([, row]) => row);
}

/** The first number of a cell: "58.3 ± 1.3" is 58.3, "44,544" is 44544; null for "–". */
function numberIn(text) {
  const found = text.replaceAll(",", "").replace("−", "-").match(/^[+-]?\d+(\.\d+)?/);
  return found ? Number(found[0]) : null;
}
