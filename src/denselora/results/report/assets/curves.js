/** Loss by optimizer step of some runs: running lines, and dots for validation. Drag to zoom. */
function curves(runs, heading) {
  const shownRuns = runs.filter((run) => run.losses);
  if (!shownRuns.length) return null;
  const steps = [...new Set(shownRuns.flatMap((run) => [
    ...run.losses.steps, ...run.losses.validation.map(([step]) => step)]))].sort((a, b) => a - b);
  const place = new Map(steps.map((step, number) => [step, number]));
  const column = (pairs) => {
    const values = new Array(steps.length).fill(undefined);
    for (const [step, value] of pairs) values[place.get(step)] = value;
    return values;
  };
  const data = [steps];
  const names = [];
  for (const run of shownRuns) {
    const means = runningMean(run.losses.loss_nats);
    data.push(column(run.losses.steps.map((step, number) => [step, means[number]])));
    names.push({ name: title(run), run });
    if (shownRuns.length === 1) {
      data.push(column(run.losses.steps.map((step, number) => [step, run.losses.loss_nats[number]])));
      names.push({ name: "loss", run, thin: true });
    }
    if (run.losses.validation.length) {
      data.push(column(run.losses.validation));
      names.push({ name: "validation", run, dots: true });
    }
  }
  const holder = drawn("", (width) => {
    const plot = h("div");
    new uPlot(options(names, shownRuns, width), data, plot);
    return plot;
  });
  const every = [...new Set(shownRuns.map((run) => run.losses.every))];
  return h("figure", {}, h("h3", {}, heading), holder, h("figcaption", {},
    "Nats a token, by optimizer step. Lines: running mean over a twentieth of the run. "
    + (shownRuns.length === 1 ? `Thin: ${every[0] > 1 ? `means over ${every[0]} steps` : "each step"}. ` : "")
    + "Dots: validation. Drag to look closer, double-click for all; a click on a name hides its run."));
}

/** Mean over the last twentieth of the run up to each point; a loss that isn't finite counts in none. */
function runningMean(losses) {
  const span = Math.max(1, Math.ceil(losses.length / 20));
  return losses.map((_, end) => {
    const last = losses.slice(Math.max(0, end + 1 - span), end + 1).filter((loss) => loss !== null);
    return last.length ? last.reduce((sum, loss) => sum + loss, 0) / last.length : null;
  });
}

function options(names, runs, width) {
  const style = getComputedStyle(document.documentElement);
  const [soft, line] = ["--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const colours = lineColours(runs);
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 },
    font: "12px system-ui, sans-serif" };
  return {
    width,
    height: HEIGHT,
    scales: { x: { time: false }, y: { distr: 3, range: (_, low, high) => [low * 0.8, high * 1.25] } },
    cursor: { points: { size: 6 } },
    hooks: { setSeries: [(plot, number, { show }) => {
      const own = names[number - 1];
      if (show === undefined || !own || own.dots || own.thin) return;
      names.forEach(({ run, dots, thin }, other) => {
        if (run === own.run && (dots || thin)) plot.setSeries(other + 1, { show });
      });
    }] },
    axes: [axis, { ...axis, size: 52, filter: roundOnes, grid: { ...axis.grid, filter: roundOnes },
      ticks: { ...axis.ticks, filter: roundOnes }, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : String(Number(tick.toPrecision(6))))) }],
    series: [{ label: "step" }, ...names.map(({ name, run, dots, thin }) => ({
      label: name,
      class: dots || thin ? "unnamed" : "named",
      stroke: colours.get(run.id),
      alpha: thin ? 0.35 : 1,
      width: dots ? 0 : thin ? 0.7 : 1.6,
      spanGaps: true,
      paths: dots ? () => null : undefined,
      points: { show: Boolean(dots), size: 7, fill: colours.get(run.id) },
      value: (_, value) => (value === null || value === undefined ? "–" : value.toPrecision(3)),
    }))],
  };
}

/** 1, 2 and 5 times powers of ten; all where those would be too few. */
function roundOnes(_, ticks) {
  const round = ticks.map((tick) => (/^[125]/.test(tick.toExponential()) ? tick : null));
  return round.filter((tick) => tick !== null).length > 2 ? round : ticks;
}

/** A method's own colour; of several runs of one method the others are drawn as text is. */
function lineColours(runs) {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const style = getComputedStyle(document.documentElement);
  const [ink, soft] = ["--ink", "--soft"].map((name) => style.getPropertyValue(name).trim());
  const used = [];
  return new Map(runs.map((run) => {
    const own = rowOf(run).colour;
    const before = used.filter((colour) => colour === own).length;
    used.push(own);
    return [run.id, [isDark ? lighter(own) : own, ink, soft][before] ?? soft];
  }));
}

/** The same hue on a dark ground. */
function lighter(colour) {
  const parts = colour.match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  return `rgb(${parts.map((part) => Math.round(part + (255 - part) * 0.28)).join(" ")})`;
}
