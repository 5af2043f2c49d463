"""Our choice scoring against lm-evaluation-harness, row by row."""

import json

import pytest
from datasets import Dataset

from denselora.evaluation.context import compute_head, shared_head
from denselora.evaluation.scoring import Scoring
from denselora.evaluation.second_opinion import predict
from denselora.tasks import benchmark
from tests.evaluation.models import LAYOUTS, make_rows

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
