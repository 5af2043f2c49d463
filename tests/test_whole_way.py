"""Config → data → adapter → training → adapter folder → evaluation → record → table, once."""

import csv
import json

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from denselora.results.record import read_record

QUICK = [
    "model=llama3_8b",
    "trainer.max_steps=3",
    "trainer.global_batch_size=4",
    "trainer.micro_batch_size=2",
    "trainer.validation_rows=4",
    "trainer.warmup_steps=1",
    "trainer.learning_rate=0.01",
]


def test_from_config_to_table(script, model_folder, data_folder, tmp_path):
    where = [f"model.path={model_folder}", "data=local", f"data.path={data_folder}"]
    results, records = tmp_path / "results", []
    for adapter in ("denselora", "lora"):
        run = tmp_path / adapter
        code, out, err = script(
            "train", *QUICK, *where, f"adapter={adapter}", "adapter.r=4", f"output_dir={run}"
        )
        assert code == 0, err
        assert "adapter:" in out
        code, out, err = script(
            "evaluate",
            f"adapter_path={run / 'adapter'}",
            "limit=2",
            "protocol.decoding.max_new_tokens=4",
            f"output_dir={run / 'evaluation'}",
            f"record_dir={results / 'runs'}",
        )
        assert code == 0, err
        assert "BoolQ" in out and "Average" in out

        metrics = [json.loads(line) for line in (run / "metrics.jsonl").open()]
        assert [row["step"] for row in metrics] == [1, 2, 3]
        assert {"adapter_config.json", "adapter_model.safetensors", "training.json"} <= {
            file.name for file in (run / "adapter").iterdir()
        }
        record = read_record(run / "evaluation" / "record.json")
        assert record.status == "partial" and len(record.benchmarks) == 8
        assert record.training.steps == 3 and record.seed == 42
        assert record.config["adapter"]["r"] == 4
        records.append(record)

    base = AutoModelForCausalLM.from_pretrained(model_folder)
    loaded = PeftModel.from_pretrained(base, tmp_path / "denselora" / "adapter")
    assert loaded.peft_config["default"].peft_type == "DENSELORA"

    code, out, err = script("tables", f"results_dir={results}")
    assert code == 0, err
    assert {path.stem.split("-")[0] for path in (results / "figures").glob("change-*.png")}
    with (results / "tables/commonsense.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file) if row["kind"] == "measured"}
    assert rows.keys() == {"DenseLoRA", "LoRA"}
    for record in records:
        row, average = rows[record.method.label], 100 * record.average.accuracy
        assert int(row["trainable"]) == record.method.trainable
        assert float(row["average"]) == pytest.approx(average, abs=1e-4)
