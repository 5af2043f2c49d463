"""Our choice scoring against lm-evaluation-harness, row by row."""

import json

import pytest
from datasets import Dataset

from denselora.evaluation.context import compute_head, shared_head
from denselora.evaluation.recount import compare, recount_folder
from denselora.evaluation.scoring import Scoring
from denselora.evaluation.second_opinion import predict
from denselora.tasks import benchmark
from tests.evaluation.models import LAYOUTS, make_rows
from tests.evaluation.test_suite import evaluate

pytest.importorskip(
    "lm_eval", reason="lm-evaluation-harness is not installed: pip install -e .[lm-eval]"
)


@pytest.mark.parametrize("name", LAYOUTS)
def test_choice_agrees_with_the_harness_on_every_row(trained, tokenizer, paper, name):
    rows = Dataset.from_list(make_rows(name, 16, seed=6))
    task = benchmark(name)
    theirs = predict(trained, tokenizer, paper, task, rows)
    scoring = Scoring("choice", trained, tokenizer, paper)
    questions = scoring.questions(task, rows)
    head = compute_head(trained, shared_head([question.ids for question in questions]))
    ours = scoring.answer(task, head, questions)
    for a, b in zip(ours, theirs, strict=True):
        assert {k: a[k] for k in ("id", "prompt_hash", "parsed", "gold", "correct")} == {
            k: b[k] for k in ("id", "prompt_hash", "parsed", "gold", "correct")
        }
        assert spread(a) == pytest.approx(spread(b), abs=2e-3)
    assert len({row["parsed"] for row in ours}) > 1
    json.dumps(theirs)


def spread(row) -> list[float]:
    """Log-likelihoods from the first option's on: what ranking goes by."""
    first, *others = row["log_likelihood_nats"].values()
    return [other - first for other in others]


def test_an_evaluation_by_the_harness_compares_with_ours(base_folder, rows_folder, tmp_path):
    where = [f"model.path={base_folder}", "data=local", f"data.path={rows_folder}"]
    for scoring in ("choice", "lm-eval"):
        options = [*where, "tasks=[piqa]", "limit=6", f"scoring={scoring}"]
        records, failures = evaluate(*options, f"output_dir={tmp_path / scoring}")
        assert not failures and records[0].evaluation.scoring == scoring
    assert recount_folder(tmp_path / "lm-eval") == records[0].benchmarks
    agreement = compare(tmp_path / "choice", tmp_path / "lm-eval")["piqa"]
    assert agreement.same == agreement.n == 6
