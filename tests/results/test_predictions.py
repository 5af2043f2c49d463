import json

import pytest

from denselora.errors import UserError
from denselora.results.predictions import aligned_outcomes, read_predictions
from tests.results.records import prediction


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_are_aligned_by_id_whatever_their_order(tmp_path):
    rows = [prediction(number, number in (0, 2)) for number in range(3)]
    other = [prediction(number, number == 1) for number in (2, 1, 0)]
    files = [write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", other)]
    assert aligned_outcomes(files).tolist() == [[True, False, True], [False, True, False]]


@pytest.mark.parametrize("change", [{"prompt_hash": "else"}, {"id": 7}])
def test_other_prompts_are_refused(tmp_path, change):
    files = [
        write(tmp_path / "a.jsonl", [prediction(0, True)]),
        write(tmp_path / "b.jsonl", [prediction(0, True) | change]),
    ]
    with pytest.raises(UserError, match=r"a\.jsonl and .*b\.jsonl hold different prompts"):
        aligned_outcomes(files)


@pytest.mark.parametrize("line", ["{", "[]", '{"id": 1}'])
def test_bad_row_is_told_with_file_and_line(tmp_path, line):
    path = write(tmp_path / "a.jsonl", [prediction(0, True)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=r"a\.jsonl: line 2 "):
        read_predictions(path)
