import pytest

from denselora.errors import UserError
from denselora.evaluation.evaluation_folder import EvaluationFolder, suffix
from denselora.evaluation.partial import append


@pytest.mark.parametrize(
    ("scoring", "limit", "expected"),
    [
        ("generate", None, ""),
        ("choice", None, "-choice"),
        ("generate", 5, "-limit5"),
        ("lm-eval", 5, "-lm-eval-limit5"),
    ],
)
def test_an_evaluations_name_says_in_what_it_is_not_a_whole_one(scoring, limit, expected):
    assert suffix(scoring, limit) == expected


def test_a_folder_is_continued_with_the_same_evaluation_alone(tmp_path):
    EvaluationFolder(tmp_path, {"model": "a", "limit": 5}).begin()
    EvaluationFolder(tmp_path, {"model": "a", "limit": 5}).check()
    with pytest.raises(UserError, match=r"another evaluation \(differs in limit\)"):
        EvaluationFolder(tmp_path, {"model": "a", "limit": 6}).check()
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(UserError, match=r"evaluation\.json: malformed"):
        EvaluationFolder(tmp_path, {}).check()


SEPARATORS = "a\u2028b\u2029c\u0085d\x1ce\rf\ng"


def test_an_answer_with_line_separators_is_one_answer(tmp_path):
    folder = EvaluationFolder(tmp_path, {})
    row = {"id": 0, "prompt_hash": "", "raw": SEPARATORS, "parsed": None, "gold": "true"}
    with folder.partial("boolq").open(0) as out:
        append(out, [row | {"correct": False}], 1.0)
    with folder.partial("boolq").open(0) as out:  # a process that goes on
        append(out, [row | {"id": 1, "correct": False}], 1.0)
    folder.finish("boolq", 2)
    assert [row["raw"] for row in folder.predictions("boolq")] == [SEPARATORS] * 2


def test_an_answer_cut_off_within_a_character_is_made_again(tmp_path):
    folder = EvaluationFolder(tmp_path, {})
    with folder.partial("boolq").open(0) as out:
        append(out, [{"id": 0, "raw": "é"}], 1.0)
        append(out, [{"id": 1, "raw": "é"}], 1.0)
    file = folder.partial("boolq").file(0)
    file.write_bytes(file.read_bytes()[: -len('\xa9"}]}\n')])
    assert list(folder.partial("boolq").done()) == [0]
    with folder.partial("boolq").open(0) as out:
        append(out, [{"id": 1, "raw": "again"}], 1.0)
    assert folder.partial("boolq").done()[1]["raw"] == "again"


def test_missing_answers_are_counted(tmp_path):
    folder = EvaluationFolder(tmp_path, {})
    with folder.partial("boolq").open(0) as out:
        out.write('{"seconds": 1.5, "rows": [{"id": 0}]}\n')
    with pytest.raises(UserError, match="boolq: 1 of 2 rows have no prediction"):
        folder.finish("boolq", 2)
    folder.finish("boolq", 1)
    assert folder.seconds() == {"boolq": 1.5}
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["boolq.jsonl", "seconds.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boolq": "long"}'])
def test_damaged_times_are_one_line(tmp_path, content):
    (tmp_path / "seconds.json").write_text(content)
    with pytest.raises(UserError, match=r"seconds\.json: .*; delete it"):
        EvaluationFolder(tmp_path, {}).seconds()


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"rows": [1], "seconds": 1}', '{"rows": [{"id": 7}]}']
)
def test_answers_after_a_damaged_line_are_made_again(tmp_path, line):
    partial = EvaluationFolder(tmp_path, {}).partial("boolq")
    with partial.open(0) as out:
        append(out, [{"id": 0}], 1.0)
        out.write(f"{line}\n")
        append(out, [{"id": 1}], 1.0)
    assert list(partial.done()) == [0]
