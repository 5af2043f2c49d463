"""The first thing to try: two methods on the embedded model, side by side, and what came out."""

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

from denselora.command_line.overrides import check_one_value, option_name, readable
from denselora.errors import UserError
from denselora.reproduce.options import Reproduce
from denselora.reproduce.script import run_script
from denselora.results.record import Record, read_records

RUNS = "runs/demo"
MINI = ("model=mini", "data=mini", "protocol=clean")
BASE = ("model", "data", "protocol", "quantization")  # options that the plain base has, too


def demo(options: Sequence[str]) -> None:
    """Score the base, made to choose, train LoRA and DenseLoRA side by side, and compare them.

    options: further ones of reproduce.py. What is done is skipped, what was stopped goes on. Raises
    UserError for a step that failed.
    """
    options = readable(options, Reproduce, several=True)  # before the work begins
    for name in map(option_name, options):
        if name in ("runs_dir", "results_dir"):
            raise UserError(f"{name}: the demo has a folder of its own in runs/; leave it out")
    # the runs of other options would be compared with these
    runs = f"{RUNS}-{sha256(' '.join(options).encode()).hexdigest()[:8]}" if options else RUNS
    results = f"{runs}/results"
    of_base = [each for each in options if option_name(each).partition(".")[0] in BASE]
    of_base += [each for each in options if option_name(each) == "evaluation.limit"]
    check_one_value(of_base, "the demo")
    run_script(
        "evaluate.py",
        *MINI,
        "scoring=choice",
        f"output_dir={runs}/base",
        f"record_dir={results}/runs",
        *(each.replace("evaluation.", "", 1) for each in of_base),
    )
    run_script(
        "reproduce.py",
        "experiment=table1/lora_r32,table1/denselora_r16",
        "hydra/launcher=joblib_gpus",
        *MINI,
        "seed=42",
        f"runs_dir={runs}",
        f"results_dir={results}",
        *options,
    )
    print(f"\n{learnt(read_records(results))}")
    print(
        f"Next: {results}/report.html in a browser shows every answer; docs/results.md reads what "
        "more runs of this kind say; `make reproduce-llama3-8b` is the paper's experiment."
    )


def learnt(records: Sequence[Record]) -> str:
    """What the demo's records say, in a sentence."""
    by_method = defaultdict(list)
    for record in records:
        if record.average:
            by_method[record.method.name].append(record)
    missing = {"none", "lora", "denselora"} - by_method.keys()
    if missing:
        return f"No average of {', '.join(sorted(missing))}: see above."
    base, lora, dense = (by_method[name] for name in ("none", "lora", "denselora"))
    return (
        f"DenseLoRA{_rank(dense)} answers {_percent(dense)} of the questions with "
        f"{dense[0].method.trainable:,} trained parameters, LoRA{_rank(lora)} {_percent(lora)} "
        f"with {lora[0].method.trainable:,}; the base, made to choose, {_percent(base)}, guessing "
        f"gives {100 * base[0].chance:.1f} %."
    )


def _rank(runs: Sequence[Record]) -> str:
    return f" r={','.join(map(str, dict.fromkeys(run.method.r for run in runs)))}"


def _percent(runs: Sequence[Record]) -> str:
    mean = f"{100 * sum(run.average.accuracy for run in runs) / len(runs):.1f} %"
    return mean + (f" in the mean of {len(runs)} runs" if runs[1:] else "")
