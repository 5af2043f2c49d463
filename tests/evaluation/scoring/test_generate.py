import pytest
from datasets import Dataset

from denselora.evaluation.context import Head
from denselora.evaluation.respondent import Respondent
from denselora.evaluation.scoring import Generate
from tests.evaluation.calls import BOOLQ
from tests.evaluation.models import make_rows


@pytest.fixture
def rows():
    return Dataset.from_list(make_rows("boolq", 9, seed=4))


def test_clean_stops_early_and_reads_the_same(trained, tokenizer, clean, rows, monkeypatch):
    scoring = Generate(Respondent(trained, tokenizer, clean), BOOLQ)
    early = answers(scoring, rows)
    monkeypatch.setattr("denselora.tasks.Benchmark.settled", lambda *_: False)
    late = answers(scoring, rows)
    assert [row["parsed"] for row in early] == [row["parsed"] for row in late]
    assert all(b["raw"].startswith(a["raw"]) for a, b in zip(early, late, strict=True))


def answers(scoring, rows):
    return scoring.answer(Head([], []), scoring.questions(rows))
