"""One benchmark to its predictions file: stopped, finished, wrong rows."""

import pytest
from datasets import Dataset

from denselora.errors import UserError
from denselora.evaluation.respondent import Respondent
from denselora.evaluation.scoring import SCORINGS, Generate
from denselora.results.predictions import KEYS, read_predictions
from tests.evaluation.calls import BOOLQ, answer_boolq
from tests.evaluation.models import make_rows


class Stopped(Exception):
    pass


@pytest.fixture
def rows():
    return Dataset.from_list(make_rows("boolq", 9, seed=4))


@pytest.fixture
def scoring(respondent):
    return Generate(respondent, BOOLQ)


def test_predictions_keep_the_evidence_in_the_rows_order(rows, scoring, tmp_path):
    answer_boolq(rows, scoring, tmp_path)
    predictions = read_predictions(tmp_path / "boolq.jsonl", "boolq")
    assert [row["id"] for row in predictions] == list(range(9))
    assert all(row.keys() >= KEYS for row in predictions)
    assert [row["gold"] for row in predictions] == list(rows["answer"])
    for row in predictions:
        assert row["correct"] == (row["parsed"] == row["gold"])
        assert row["parsed"] is None or row["parsed"] in row["raw"]


def test_the_file_does_not_depend_on_the_batch_size(rows, scoring, tmp_path):
    files = {answer_boolq(rows, scoring, tmp_path / str(n), tokens=n) for n in (1, 700, 99999)}
    assert len(files) == 1


@pytest.mark.parametrize("kind", ["generate", "choice"])
def test_killed_and_restarted_gives_the_same_file(rows, respondent, kind, tmp_path):
    scoring = SCORINGS[kind](respondent, BOOLQ)
    tokens = 700 if kind == "generate" else 300
    whole = answer_boolq(rows, scoring, tmp_path / "whole", tokens)

    def stop(done: int) -> None:
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        answer_boolq(rows, scoring, tmp_path / "stopped", tokens, advance=stop)
    assert not (tmp_path / "stopped" / "boolq.jsonl").exists()
    partial = tmp_path / "stopped" / "boolq.partial-0.jsonl"
    with partial.open("a") as file:
        file.write('{"seconds": 1, "rows": [{"id"')  # a line cut off by the kill
    seen = []
    assert answer_boolq(rows, scoring, tmp_path / "stopped", tokens, advance=seen.append) == whole
    assert 0 < seen[0] < sum(seen) == 9


def test_a_finished_file_is_not_decoded_again(rows, scoring, tmp_path):
    whole = answer_boolq(rows, scoring, tmp_path)
    blind = Respondent(None, scoring.respondent.tokenizer, scoring.respondent.protocol)
    assert answer_boolq(rows, Generate(blind, BOOLQ), tmp_path) == whole


def test_predictions_for_other_rows_are_refused(rows, scoring, tmp_path):
    whole = answer_boolq(rows, scoring, tmp_path)
    others = Dataset.from_list(make_rows("boolq", 9, seed=5))
    with pytest.raises(UserError, match="other rows"):
        answer_boolq(others, scoring, tmp_path)
    assert (tmp_path / "boolq.jsonl").read_bytes() == whole
