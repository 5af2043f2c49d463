"""The embedded world, fine-tuned for a minute: what `make demo` shows, in small."""

import pytest

from denselora.results.record import read_record
from denselora.tasks import COMMONSENSE
from tests import ROOT

CHANCE = sum(task.chance for task in COMMONSENSE) / len(COMMONSENSE)


def test_the_plan_counts_tied_embeddings_once(script, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, out, _ = script("train", "trainer.max_steps=0", "adapter=full")
    assert code == 0 and "2,755,008 trainable of 2,755,008 parameters" in out


# as few rows as do, at rates that are about the best
@pytest.mark.parametrize(
    ("adapter", "training"),
    [
        ("lora", ["data.n_train=480", "trainer.learning_rate=3e-3"]),
        ("denselora", ["data.n_train=960", "trainer.learning_rate=6e-3"]),
    ],
)
def test_fine_tuning_lifts_the_mini_base_well_above_chance(
    script, tmp_path, adapter, training, monkeypatch
):
    monkeypatch.chdir(ROOT)
    run = tmp_path / adapter
    options = ["protocol=clean", f"adapter={adapter}", "adapter.r=16", *training]
    code, _, err = script("train", *options, f"output_dir={run}")
    assert code == 0, err
    code, _, err = script(
        "evaluate",
        f"adapter_path={run / 'adapter'}",
        "limit=60",
        f"output_dir={run / 'evaluation'}",
    )
    assert code == 0, err
    record = read_record(run / "evaluation" / "record.json")
    assert record.average.accuracy > CHANCE + 0.1
