"""The trained adapters that come with the repository."""

from io import BytesIO, TextIOWrapper

import pytest

from denselora.evaluation.adapter_folder import config_hash
from denselora.results.predictions import check_predictions, read_predictions
from denselora.results.record import read_record
from denselora.training.card import model_card, results_of
from denselora.training.run_folder import read_trained
from denselora.weight_files import weights_hash
from tests import ROOT

ADAPTERS = ROOT / "adapters"
ROWS = 6


@pytest.fixture(params=["mini-denselora-r16", "mini-lora-r32"])
def adapter(request):
    return ADAPTERS / request.param


@pytest.fixture
def record(adapter):
    return read_record(ADAPTERS / "records" / read_trained(adapter).run_id / "record.json")


def test_its_record_is_of_these_weights_and_has_all_rows(adapter, record):
    assert record.status == "complete" and record.git.dirty is False
    check_predictions(record)
    made_of = record.evaluation.made_of
    assert weights_hash(adapter).startswith(made_of["adapter"])
    assert config_hash(adapter).startswith(made_of["adapter_config"])


def test_its_card_has_the_record_s_numbers(adapter, record):
    card, trained = (adapter / "README.md").read_text(), read_trained(adapter)
    assert card == model_card(trained, results_of(record, trained))


def test_it_gives_the_record_s_answers(adapter, record, script, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    code, _, err = script(
        "evaluate", f"adapter_path={adapter}", f"limit={ROWS}", f"output_dir={tmp_path}"
    )
    assert code == 0, err
    same = []
    for benchmark, part in record.benchmarks.items():
        kept = read_predictions(record.beside(part.predictions), benchmark)
        answers = {row["prompt_hash"]: row["raw"] for row in kept}
        asked = read_predictions(tmp_path / f"{benchmark}.jsonl", benchmark)
        assert len(asked) == ROWS
        same += [row["raw"] == answers[row["prompt_hash"]] for row in asked]
    # another processor rounds otherwise, which decides a near tie
    assert sum(same) >= len(same) - 4


def test_a_question_to_it_is_answered(adapter, script, monkeypatch):
    monkeypatch.chdir(ROOT)
    piped = TextIOWrapper(BytesIO(b"Yes? Answer format: true/false\n"))
    monkeypatch.setattr("sys.stdin", piped)
    code, out, err = script("ask", f"adapter_path={adapter}")
    assert code == 0, err
    assert "the correct answer is" in out
