"""The first thing to try: two methods on the embedded model, side by side, and what came out."""

from collections.abc import Sequence
from hashlib import sha256

from denselora.command_line.overrides import option_name, readable
from denselora.reproduce.options import Reproduce
from denselora.reproduce.script import run_script
from denselora.results.record import Record, read_records

RUNS = "runs/demo"
MINI = ("model=mini", "data=mini", "protocol=clean")


def demo(options: Sequence[str]) -> None:
    """Score the base, made to choose, train LoRA and DenseLoRA side by side, and compare them.

    options: further ones of reproduce.py. What is done is skipped, what was stopped goes on. Raises
    UserError for a step that failed.
    """
    readable(options, Reproduce, several=True)  # before the work begins
    # the runs of other options would be compared with these
    runs = f"{RUNS}-{sha256(' '.join(options).encode()).hexdigest()[:8]}" if options else RUNS
    results = f"{runs}/results"
    limits = [each for each in options if option_name(each) == "evaluation.limit"]
    run_script(
        "evaluate.py",
        *MINI,
        "scoring=choice",
        f"output_dir={runs}/base",
        f"record_dir={results}/runs",
        *(limit.replace("evaluation.", "", 1) for limit in limits),
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
    by_method = {record.method.name: record for record in records if record.average}
    missing = {"none", "lora", "denselora"} - by_method.keys()
    if missing:
        return f"No average of {', '.join(sorted(missing))}: see above."
    base, lora, dense = (by_method[name] for name in ("none", "lora", "denselora"))
    return (
        f"DenseLoRA r={dense.method.r} answers {_percent(dense)} % of the questions with "
        f"{dense.method.trainable:,} trained parameters, LoRA r={lora.method.r} {_percent(lora)} % "
        f"with {lora.method.trainable:,}; the base, made to choose, {_percent(base)} %, guessing "
        f"gives {100 * base.chance:.1f} %."
    )


def _percent(record: Record) -> str:
    return f"{100 * record.average.accuracy:.1f}"
