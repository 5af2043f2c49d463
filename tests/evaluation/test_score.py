"""One benchmark to its predictions file: stopped, out of memory, wrong rows."""

import json

import pytest
import torch
from datasets import Dataset

from denselora.errors import UserError
from denselora.evaluation.score import Batches, finish, score
from denselora.evaluation.scoring import Question, Scoring
from denselora.results.predictions import KEYS, read_predictions
from denselora.tasks import benchmark
from tests.evaluation.models import make_rows

BOOLQ = benchmark("boolq")


class Stopped(Exception):
    pass


@pytest.fixture
def rows():
    return Dataset.from_list(make_rows("boolq", 9, seed=4))


@pytest.fixture
def scoring(trained, tokenizer, paper):
    return Scoring("generate", trained, tokenizer, paper)


def run(rows, scoring, folder, tokens=1200, advance=lambda n: None):
    folder.mkdir(exist_ok=True)
    score(BOOLQ, rows, scoring, folder, tokens, advance)
    finish(BOOLQ, rows, folder)
    return (folder / "boolq.jsonl").read_bytes()


def test_predictions_keep_the_evidence_in_the_rows_order(rows, scoring, tmp_path):
    run(rows, scoring, tmp_path)
    predictions = read_predictions(tmp_path / "boolq.jsonl", "boolq")
    assert [row["id"] for row in predictions] == list(range(9))
    assert all(row.keys() >= KEYS for row in predictions)
    assert [row["gold"] for row in predictions] == list(rows["answer"])
    for row in predictions:
        assert row["correct"] == (row["parsed"] == row["gold"])
        assert row["parsed"] is None or row["parsed"] in row["raw"]


def test_the_file_does_not_depend_on_the_batch_size(rows, scoring, tmp_path):
    files = {run(rows, scoring, tmp_path / str(n), tokens=n) for n in (1, 700, 99999)}
    assert len(files) == 1


@pytest.mark.parametrize("kind", ["generate", "choice"])
def test_killed_and_restarted_gives_the_same_file(rows, trained, tokenizer, paper, kind, tmp_path):
    scoring = Scoring(kind, trained, tokenizer, paper)
    tokens = 700 if kind == "generate" else 300
    whole = run(rows, scoring, tmp_path / "whole", tokens)

    def stop(done: int) -> None:
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        run(rows, scoring, tmp_path / "stopped", tokens, advance=stop)
    assert not (tmp_path / "stopped" / "boolq.jsonl").exists()
    partial = tmp_path / "stopped" / "boolq.partial-0.jsonl"
    with partial.open("a") as file:
        file.write('{"seconds": 1, "rows": [{"id"')  # a line cut off by the kill
    seen = []
    assert run(rows, scoring, tmp_path / "stopped", tokens, advance=seen.append) == whole
    assert 0 < seen[0] < sum(seen) == 9


def test_a_finished_file_is_not_decoded_again(rows, scoring, tmp_path):
    whole = run(rows, scoring, tmp_path)
    blind = Scoring("generate", None, scoring.tokenizer, scoring.protocol)
    assert run(rows, blind, tmp_path) == whole


def test_predictions_for_other_rows_are_refused(rows, scoring, tmp_path):
    whole = run(rows, scoring, tmp_path)
    others = Dataset.from_list(make_rows("boolq", 9, seed=5))
    with pytest.raises(UserError, match="other rows"):
        run(others, scoring, tmp_path)
    assert (tmp_path / "boolq.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ],
)
def test_out_of_memory_halves_the_batch_and_goes_on(scoring, tmp_path, monkeypatch, capsys, error):
    rows = Dataset.from_list([row | {"input": ""} for row in make_rows("boolq", 1) * 9])
    whole = run(rows, scoring, tmp_path / "whole")
    sizes = []
    answer = Scoring.answer

    def small_memory(self, benchmark, head, questions):
        sizes.append(len(questions))
        if len(questions) > 2:
            raise error
        return answer(self, benchmark, head, questions)

    monkeypatch.setattr(Scoring, "answer", small_memory)
    assert run(rows, scoring, tmp_path / "small", tokens=99999) == whole
    assert sizes[:3] == [9, 4, 2] and max(sizes[3:]) <= 2
    assert "out of memory" in capsys.readouterr().out


def test_out_of_memory_on_one_row_says_so(rows, scoring, tmp_path, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Scoring, "answer", no_memory)
    with pytest.raises(UserError, match="out of memory on a single row"):
        run(rows, scoring, tmp_path)


def test_other_errors_are_not_taken_for_lack_of_memory(rows, scoring, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Scoring, "answer", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        run(rows, scoring, tmp_path)


def test_batches_are_sized_by_tokens():
    questions = [Question(n, "", "", [0] * n) for n in (30, 20, 20, 19, 19)]
    sizes = [len(batch) for batch in Batches(questions, tokens=60, room=10)]
    assert sizes == [1, 2, 2]


def test_a_batch_is_hardly_padded():
    questions = [Question(n, "", "", [0] * n) for n in (40, 39, 38, 20, 20, 12)]
    assert [len(batch) for batch in Batches(questions, 9999, room=10)] == [3, 2, 1]
    assert [len(batch) for batch in Batches(questions[:3], 9999, room=0, head=36)] == [2, 1]


def test_numbers_cannot_be_chosen(trained, tokenizer, paper, rows):
    with pytest.raises(UserError, match="numbers"):
        Scoring("choice", trained, tokenizer, paper).questions(benchmark("gsm8k"), rows)


def test_clean_stops_early_and_reads_the_same(trained, tokenizer, clean, rows, monkeypatch):
    scoring = Scoring("generate", trained, tokenizer, clean)
    early = answers(scoring, rows)
    monkeypatch.setattr("denselora.tasks.Benchmark.settled", lambda *_: False)
    late = answers(scoring, rows)
    assert [row["parsed"] for row in early] == [row["parsed"] for row in late]
    assert all(b["raw"].startswith(a["raw"]) for a, b in zip(early, late, strict=True))


def answers(scoring, rows):
    from denselora.evaluation.context import Head

    return scoring.answer(BOOLQ, Head([], []), scoring.questions(BOOLQ, rows))


def test_choice_picks_the_likeliest_word(trained, tokenizer, paper, rows):
    for row in answers(Scoring("choice", trained, tokenizer, paper), rows):
        scores = row["log_likelihood_nats"]
        assert row["parsed"] == max(scores, key=scores.get) and set(scores) == {"true", "false"}
        json.dumps(row)
