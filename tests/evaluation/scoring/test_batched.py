"""Batches of like length, and what happens when memory runs out."""

import pytest
import torch
from datasets import Dataset

from denselora.errors import UserError
from denselora.evaluation.scoring import Generate
from denselora.evaluation.scoring.batched import Batches, Question
from tests.evaluation.calls import BOOLQ, answer_boolq
from tests.evaluation.models import make_rows


@pytest.fixture
def rows():
    return Dataset.from_list(make_rows("boolq", 9, seed=4))


@pytest.fixture
def scoring(respondent):
    return Generate(respondent, BOOLQ)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ],
)
def test_out_of_memory_halves_the_batch_and_goes_on(scoring, tmp_path, monkeypatch, capsys, error):
    rows = Dataset.from_list([row | {"input": ""} for row in make_rows("boolq", 1) * 9])
    whole = answer_boolq(rows, scoring, tmp_path / "whole")
    sizes = []
    answer = Generate.answer

    def small_memory(self, head, questions):
        sizes.append(len(questions))
        if len(questions) > 2:
            raise error
        return answer(self, head, questions)

    monkeypatch.setattr(Generate, "answer", small_memory)
    assert answer_boolq(rows, scoring, tmp_path / "small", tokens=99999) == whole
    assert sizes[:3] == [9, 4, 2] and max(sizes[3:]) <= 2
    assert "out of memory" in capsys.readouterr().out


def test_out_of_memory_on_one_row_says_so(rows, scoring, tmp_path, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Generate, "answer", no_memory)
    with pytest.raises(UserError, match="out of memory on a single row"):
        answer_boolq(rows, scoring, tmp_path)


def test_other_errors_are_not_taken_for_lack_of_memory(rows, scoring, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Generate, "answer", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        answer_boolq(rows, scoring, tmp_path)


def test_batches_are_sized_by_tokens():
    questions = [Question(n, "", "", [0] * n) for n in (30, 20, 20, 19, 19)]
    sizes = [len(batch) for batch in Batches(questions, tokens=60, room=10)]
    assert sizes == [1, 2, 2]


def test_a_batch_is_hardly_padded():
    questions = [Question(n, "", "", [0] * n) for n in (40, 39, 38, 20, 20, 12)]
    assert [len(batch) for batch in Batches(questions, 9999, room=10)] == [3, 2, 1]
    assert [len(batch) for batch in Batches(questions[:3], 9999, room=0, head=36)] == [2, 1]
