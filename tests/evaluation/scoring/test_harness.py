"""Our choice scoring against lm-evaluation-harness, row by row."""

import json
from pathlib import Path

import pytest
import torch

from denselora.data.rows import read_rows
from denselora.evaluation.context import compute_head, shared_head
from denselora.evaluation.recount import compare, recount_folder
from denselora.evaluation.respondent import Respondent
from denselora.evaluation.scoring import Choice, Harness
from denselora.models import load_base, load_tokenizer
from denselora.tasks import benchmarks
from tests.evaluation.calls import evaluate

pytest.importorskip(
    "lm_eval", reason="lm-evaluation-harness is not installed: pip install -e .[lm-eval]"
)

MINI = Path(__file__).parents[3] / "data" / "mini"


def test_choice_agrees_with_the_harness_on_every_row(paper):
    base = str(MINI / "base")
    model, tokenizer = load_base(base, torch.float32).eval(), load_tokenizer(base)
    respondent = Respondent(model, tokenizer, paper)
    chosen = set()
    for task in benchmarks("all", "commonsense", MINI):
        rows = read_rows(task.test_file(MINI), scored=True)
        rows = rows.select(range(16))
        (theirs,) = Harness(respondent, task).answers(rows, (), batch_tokens=1)
        scoring = Choice(respondent, task)
        questions = scoring.questions(rows)
        head = compute_head(model, shared_head([question.ids for question in questions]))
        ours = scoring.answer(head, questions)
        for a, b in zip(ours, theirs, strict=True):
            assert {k: a[k] for k in ("id", "prompt_hash", "parsed", "gold", "correct")} == {
                k: b[k] for k in ("id", "prompt_hash", "parsed", "gold", "correct")
            }
            assert spread(a) == pytest.approx(spread(b), abs=2e-3)
        chosen |= {row["parsed"] for row in ours}
        json.dumps(theirs)
    assert len(chosen) > 2


def spread(row) -> list[float]:
    """Log-likelihoods from the first option's on: what ranking goes by."""
    first, *others = row["log_likelihood_nats"].values()
    return [other - first for other in others]


def test_an_evaluation_by_the_harness_compares_with_ours(tmp_path):
    where = [f"model.path={MINI / 'base'}", f"data.path={MINI}"]
    for scoring in ("choice", "lm-eval"):
        options = [*where, "tasks=[piqa]", "limit=6", f"scoring={scoring}"]
        records, failures = evaluate(*options, f"output_dir={tmp_path / scoring}")
        assert not failures and records[0].evaluation.scoring == scoring
    assert recount_folder(tmp_path / "lm-eval") == records[0].benchmarks
    agreement = compare(tmp_path / "choice", tmp_path / "lm-eval")["piqa"]
    assert agreement.same == agreement.n == 6
