"""Records and predictions for the tests, as a run would leave them."""

from datetime import UTC, datetime
from functools import cache

from omegaconf import OmegaConf

from denselora.command_line.configs import composed
from denselora.protocol import Protocol
from denselora.results.predictions import PREDICTIONS, write_predictions
from denselora.results.record import FIRST, RECORD, Average, Benchmark, Data, Record, write_record
from denselora.tasks import benchmark

FULL_N = {"boolq": 60, "piqa": 50, "social_i_qa": 40, "hellaswag": 80, "winogrande": 30}
LABELS = {"lora": "LoRA", "denselora": "DenseLoRA", "none": "Base", "vera": "VeRA"}
# what makes a record one of the paper's Table 1
REAL = {
    "model": "LLaMA3-8B",
    "data": ("commonsense_170k", "commonsense_170k"),
    "train_rows": 170_300,
    "limit": None,
}


def make_record(
    method="denselora",
    r=16,
    seed=0,
    *,
    correct=0.5,
    benchmarks=None,
    model="SmolLM2-135M",
    suite="commonsense",
    protocol="paper",
    limit=20,
    train_rows=160,
    modules=("q_proj", "k_proj", "v_proj", "up_proj", "down_proj"),
    config=None,
    collapsed=None,
    data=("lab", "lab split"),
    suite_has=None,
    trainable_per_r=5_000,
    metrics_file=None,
    change_file=None,
    predictions=PREDICTIONS,
    run_id=None,
) -> Record:
    """A record with `correct` (a share, or a share per benchmark) of the rows right."""
    base = method == "none"
    run_id = run_id or f"{model}-{method}-{r}-{train_rows}-{len(modules)}-{seed}"
    trainable = 0 if base else trainable_per_r * r
    total = 1_000_000 + trainable
    results, is_real = {}, data == REAL["data"]
    for name in FIRST[suite] if benchmarks is None else benchmarks:
        full_n = benchmark(name).test_rows if is_real else FULL_N.get(name, 45)
        n = min(limit or full_n, full_n)
        share = correct[name] if isinstance(correct, dict) else correct
        results[name] = Benchmark.counted(
            n=n,
            full_n=full_n,
            correct=round(share * n),
            unparsed=0,
            chance=0.25,
            predictions=predictions.format(name),
            seconds=1.5,
        )
    data = Data(
        name=data[0],
        label=data[1],
        suite=suite,
        benchmarks=suite_has,
        train_rows=None if base else train_rows,
    )
    average = Average.of(results, data)
    whole = average is not None and all(part.n == part.full_n for part in results.values())
    training = {
        "steps": 20,
        "epochs": 2.0,
        "rows": train_rows,
        "tokens": 40_000,
        "tokens_per_s": 800.0,
        "peak_memory_gib": None,
        "seconds": 50.0,
        "train_loss_nats": None if collapsed else 1.25,
        "validation_loss_nats": None,
        "metrics_file": metrics_file,
        "change_file": change_file,
        "collapsed": collapsed,
    }
    return Record(
        schema=1,
        run_id=run_id,
        created=datetime(2026, 3, 1 + (seed or 0), 12, tzinfo=UTC),
        status="collapsed" if collapsed else "complete" if whole else "partial",
        model={"name": model.lower(), "label": model, "path": f"hub/{model}"},
        method={
            "name": method,
            "label": LABELS[method],
            "r": None if base else r,
            "alpha": None if base else 2.0 * r,
            "target_modules": None if base else list(modules),
            "trainable": trainable,
            "total": total,
            "trainable_percent": 100 * trainable / total,
        },
        protocol={"name": protocol, "version": 1, "hash": hash_of(protocol)},
        data=data,
        seed=None if base else seed,
        config=None
        if base
        else {"seed": seed, "trainer": {"learning_rate": 3e-4}} | (config or {}),
        evaluation={
            "limit": limit,
            "scoring": "generate",
            "decoding": {"num_beams": 4, "max_new_tokens": 32},
            "batch_size": 16,
        },
        git={"commit": "0" * 40, "dirty": False},
        packages={"torch": "2.13.0"},
        device={"name": "CPU", "count": 1},
        training=None if base else training,
        benchmarks=results,
        average=average,
    )


@cache
def hash_of(protocol: str) -> str:
    config = composed("train", [f"protocol={protocol}"]).protocol
    return Protocol.from_config(OmegaConf.to_container(config, resolve=True)).hash


def save(folder, *records: Record, predictions=False) -> list[Record]:
    """Write records, and predictions that fit them, as a results folder has them."""
    for record in records:
        own = folder / "runs" / record.run_id
        write_record(record, own / RECORD)
        if predictions:
            # the first ones are right, so that two runs agree as far as they can
            rows = {
                key: [prediction(number, number < part.correct) for number in range(part.n)]
                for key, part in record.benchmarks.items()
            }
            write_predictions(own / PREDICTIONS, rows)
    return list(records)


def prediction(number: int, correct: bool) -> dict:
    return {
        "id": number,
        "prompt_hash": f"{number:04x}",
        "raw": f"the correct answer is {'answer1' if correct else 'answer2'}",
        "parsed": "answer1" if correct else "answer2",
        "gold": "answer1",
        "correct": correct,
    }


def steps(losses, every=2) -> list[dict]:
    """Rows as the loop logs them, with a validation loss now and then."""
    rows = [{"step": step, "loss_nats": loss} for step, loss in enumerate(losses, start=1)]
    for row in rows[every - 1 :: every]:
        row["validation_loss_nats"] = row["loss_nats"] + 1
    return rows
