const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = new Map(DATA.runs.map((run) => [run.id, run]));
const HEADINGS = Object.assign({}, ...DATA.blocks.map((block) => block.benchmarks));
const DIGIT = new Map([...DATA.digits].map((digit, number) => [digit, number]));

/** A run's rows of a benchmark, by id; null where its predictions are not among the results. */
function answersOf(run, benchmark) {
  const part = run.benchmarks[benchmark];
  if (!part || part.answers === undefined) return null;
  const set = DATA.sets[part.set];
  const prompts = set.prompts.split(" ");
  return answerNumbers(part.answers).map((number, id) => ({
    benchmark,
    id,
    prompt: prompts[id],
    gold: set.golds[id],
    raw: set.raw[number],
    parsed: set.parsed[number],
    correct: set.correct[number] === "1",
  }));
}

/** An answer's number is one short digit, or one of the others and three digits after it. */
function answerNumbers(codes) {
  const numbers = [];
  for (let at = 0; at < codes.length; at++) {
    let number = DIGIT.get(codes[at]);
    if (number >= DATA.short) {
      number -= DATA.short;
      for (let more = 0; more < 3; more++) number = number * DATA.digits.length + DIGIT.get(codes[++at]);
      number += DATA.short;
    }
    numbers.push(number);
  }
  return numbers;
}

/** Wrong answers first, and of them those in which nothing could be read. */
const wrongFirst = (row) => (row.correct ? 2 : row.parsed === null ? 0 : 1);

const title = (run) => [
  rowOf(run).label + (run.r ? ` r=${run.r}` : ""),
  // most runs have as many as others of their table
  run.trainRows === null || run.trainRows === DATA.blocks[ROW_OF.get(run.id)[0]].drawnRows ? null : `${whole(run.trainRows)} rows`,
  run.seed === null ? null : `seed ${run.seed}`,
].filter(Boolean).join(", ");

const where = (run) => `${run.model}, ${run.data}, protocol ${run.protocol}, ${run.scoring}`;

/** The row of a table that a run belongs to: [block, row], their numbers. */
const ROW_OF = new Map();
DATA.blocks.forEach((block, b) => block.rows.forEach((row, r) => {
  row.runs.forEach((run) => ROW_OF.set(DATA.runs[run].id, [b, r]));
}));
const rowOf = (run) => {
  const [b, r] = ROW_OF.get(run.id);
  return DATA.blocks[b].rows[r];
};
