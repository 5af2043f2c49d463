/** Exact two-sided McNemar p-value of two runs: rows that only one, or only the other, has right. */
function mcnemar(onlyOne, onlyOther) {
  const n = onlyOne + onlyOther;
  let sum = 0;
  let logTerm = -n * Math.LN2; // of n choose 0, halved n times
  for (let k = 0; k <= Math.min(onlyOne, onlyOther); k++) {
    sum += Math.exp(logTerm);
    logTerm += Math.log(n - k) - Math.log(k + 1);
  }
  return Math.min(1, 2 * sum);
}

/** Points that no other one beats: none with fewer parameters is as good. */
function frontier(points) {
  const sorted = [...points].sort((a, b) => a.trainable - b.trainable || b.average[0] - a.average[0]);
  const best = [];
  for (const point of sorted) {
    if (!best.length || point.average[0] > best.at(-1).average[0]) best.push(point);
  }
  return best;
}

const percent = (fraction) => (100 * fraction).toFixed(1);
const whole = (number) => number.toLocaleString("en-US");
const signed = (points) => (points < 0 ? "−" : "+") + Math.abs(points).toFixed(1);
const pValue = (p) => (p < 0.001 ? p.toExponential(1) : p.toFixed(3));
