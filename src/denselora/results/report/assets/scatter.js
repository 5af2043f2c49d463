const HEIGHT = 340;
const EDGE = { top: 14, right: 26, bottom: 42, left: 46 };

/** Average accuracy against trainable parameters (log), with intervals and the Pareto frontier. */
function scatter(block, rows, link) {
  const chosen = rows.filter((row) => row.drawn === "chosen");
  const floor = lowest(chosen);
  const faint = rows.filter((row) => row.drawn === "faint");
  // one that fell to chance would press all else together
  const points = [...faint.filter((row) => row.average[0] >= floor), ...chosen];
  const references = [["chance", block.chance]];
  for (const row of block.rows) if (!row.trainable && row.average) references.push([row.label, row.average[0]]);
  const methods = [...new Map(points.map((row) => [row.method, row.colour]))];
  const holder = drawn("", (width) => scatterPicture(block, points, chosen, references, width, link));
  const below = references.filter(([, value]) => value < floor - NEAR).map(([name, value]) => `${name} (${value.toFixed(1)})`);
  const fallen = faint.length + chosen.length - points.length;
  if (fallen) below.push(`${fallen} variants`);
  return h("figure", {},
    h("h3", {}, "Accuracy against trainable parameters"),
    h("div", { class: "legend" }, methods.map(([method, colour]) => h("span", {}, swatch(colour), method)),
      h("span", { class: "soft" }, "– – frontier")),
    holder,
    h("figcaption", {}, `${block.drawnRows ? whole(block.drawnRows) + " training rows. " : ""}`
      + "Numbers: rank r. Bars: ± standard deviation over seeds, or 95 % over test rows of a single one. "
      + "Faint: variants, and learning rates with a lower average or fewer seeds. Dashed: no method drawn "
      + `reaches more with fewer parameters.${below.length ? ` Below what is drawn: ${below.join(", ")}.` : ""}`));
}

// points that a line of reference may be below all methods
const NEAR = 8;
const lowest = (points) => Math.min(...points.map((row) => row.average[1]));

function scatterPicture(block, points, chosen, references, width, link) {
  const counts = points.map((row) => Math.log10(row.trainable));
  const [left, right] = [Math.min(...counts) - 0.12, Math.max(...counts) + 0.18];
  let low = lowest(chosen);
  const near = references.filter(([, value]) => value >= low - NEAR);
  low = Math.min(low, ...near.map(([, value]) => value)) - 1.5;
  const high = Math.max(...points.map((row) => row.average[2])) + 1.5;
  const x = (count) => EDGE.left + (Math.log10(count) - left) / (right - left) * (width - EDGE.left - EDGE.right);
  const y = (value) => HEIGHT - EDGE.bottom - (value - low) / (high - low) * (HEIGHT - EDGE.top - EDGE.bottom);
  const line = (x1, y1, x2, y2, name, more = {}) => svg("line", { x1, y1, x2, y2, class: name, ...more });
  const text = (at, across, words, anchor, name) =>
    svg("text", { x: at, y: across, "text-anchor": anchor, class: name }, words);
  const parts = [];
  const step = [1, 2, 5, 10, 20].find((size) => (high - low) / size <= 8) || 25;
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
    parts.push(line(EDGE.left, y(value), width - EDGE.right, y(value), "grid"),
      text(EDGE.left - 8, y(value) + 4, String(value), "end"));
  }
  for (const count of roundCounts(10 ** left, 10 ** right, width)) {
    parts.push(line(x(count), EDGE.top, x(count), HEIGHT - EDGE.bottom, "grid"),
      text(x(count), HEIGHT - EDGE.bottom + 18, inShort(count), "middle"));
  }
  parts.push(text((EDGE.left + width - EDGE.right) / 2, HEIGHT - 6, "trainable parameters", "middle"),
    text(EDGE.left, 10, "accuracy, %", "start"));
  for (const [name, value] of near) {
    parts.push(line(EDGE.left, y(value), width - EDGE.right, y(value), "reference"),
      text(width - EDGE.right - 4, y(value) - 4, name, "end"));
  }
  const best = frontier(chosen);
  const path = best.map((row, number) => (number ? `H${x(row.trainable)}V${y(row.average[0])}`
    : `M${x(row.trainable)} ${y(row.average[0])}`)).join("");
  if (best.length) parts.push(svg("path", { class: "frontier", d: `${path}H${width - EDGE.right}` }));
  const taken = chosen.map((row) => ({ x: x(row.trainable) - 6, y: y(row.average[0]) + 6, width: 12 }));
  for (const row of points) parts.push(scatterPoint(row, x(row.trainable), y, link(row), taken));
  return svg("svg", { class: "scatter", viewBox: `0 0 ${width} ${HEIGHT}`, role: "group",
    "aria-label": "Accuracy against trainable parameters" }, parts);
}

/** Where a point's label covers no point and no other label, if there is such a place. */
function labelPlace(x, y, words, taken) {
  const width = 7 * words.length;
  const places = [[7, -6], [7, 14], [-7 - width, -6], [-7 - width, 14], [7, -18]]
    .map(([right, down]) => ({ x: x + right, y: y + down, width }));
  const isFree = (place) => taken.every((other) => Math.abs(place.y - other.y) > 11
    || place.x > other.x + other.width || place.x + width < other.x);
  const place = places.find(isFree) ?? places[0];
  taken.push(place);
  return place;
}

function scatterPoint(row, x, y, href, taken) {
  const [mean, low, high] = row.average;
  const isChosen = row.drawn === "chosen";
  const marks = [svg("circle", { class: "point", "--colour": row.colour, cx: x, cy: y(mean), r: isChosen ? 5.5 : 3.5 })];
  if (isChosen) {
    marks.unshift(svg("line", { class: "bar", "--colour": row.colour, x1: x, x2: x, y1: y(low), y2: y(high) }));
    if (row.r) {
      const place = labelPlace(x, y(mean), String(row.r), taken);
      marks.push(svg("text", { class: "rank", x: place.x, y: place.y }, String(row.r)));
    }
  }
  const name = `${row.label}${row.r ? ` r=${row.r}` : ""}`;
  const words = `${name}\n${whole(row.trainable)} parameters\n${mean.toFixed(1)} % (${low.toFixed(1)} to `
    + `${high.toFixed(1)}), ${row.runs.length} run${row.runs.length > 1 ? "s" : ""}`;
  return withTip(svg("a", { href, class: isChosen ? "" : "faint", "aria-label": words, tabindex: isChosen ? 0 : -1 },
    marks), words);
}

/** 1, 2 and 5 times powers of ten within a span, or the powers alone where that would be crowded. */
function roundCounts(low, high, width) {
  const found = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
    for (const times of [1, 2, 5]) if (times * power >= low && times * power <= high) found.push(times * power);
  }
  const powers = found.filter((count) => Number.isInteger(Math.round(Math.log10(count) * 1e6) / 1e6));
  return found.length * 46 > width && powers.length > 1 ? powers : found;
}

const inShort = (count) => (count >= 1e9 ? `${count / 1e9}B` : count >= 1e6 ? `${count / 1e6}M`
  : count >= 1e3 ? `${count / 1e3}k` : String(count));
