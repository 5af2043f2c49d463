import pytest

from denselora.errors import UserError
from denselora.results.predictions import read_predictions
from denselora.results.record import read_records
from denselora.results.report.answers import DIGITS, LONGEST, SHORT, code, encode_answers
from tests import ROOT
from tests.results.records import make_record, save


def decoded(text: str) -> list[int]:
    """The numbers of a text of codes, as answers.js reads them."""
    numbers, digits = [], iter(text)
    for digit in digits:
        number = DIGITS.index(digit)
        if number >= SHORT:
            number -= SHORT
            for _ in range(3):
                number = number * len(DIGITS) + DIGITS.index(next(digits))
            number += SHORT
        numbers.append(number)
    return numbers


def test_a_number_is_read_back_from_its_code():
    numbers = [0, SHORT - 1, SHORT, SHORT + 1, 10_000, LONGEST - 1]
    assert decoded("".join(map(code, numbers))) == numbers
    with pytest.raises(UserError, match="different answers"):
        code(LONGEST)


def test_codes_have_nothing_that_json_or_html_escapes():
    assert not set(DIGITS) & set("\"\\<>&' ")


def test_every_prediction_is_in_the_encoding():
    records = read_records(ROOT / "results")[:9]
    sets, encoded = encode_answers(records)
    for record in records:
        for benchmark, part in record.benchmarks.items():
            one = encoded[record.run_id, benchmark]
            table = sets[one["set"]]
            rows = sorted(
                read_predictions(record.beside(part.predictions), benchmark), key=lambda r: r["id"]
            )
            numbers = decoded(one["answers"])
            assert table["prompts"].split(" ") == [row["prompt_hash"] for row in rows]
            assert table["golds"] == [row["gold"] for row in rows]
            assert [table["raw"][n] for n in numbers] == [row["raw"] for row in rows]
            assert [table["parsed"][n] for n in numbers] == [row["parsed"] for row in rows]
            assert [table["correct"][n] == "1" for n in numbers] == [r["correct"] for r in rows]


def test_runs_asked_the_same_share_a_set(tmp_path):
    records = [make_record(seed=0), make_record(seed=1), make_record(seed=2, limit=10)]
    save(tmp_path, *records, predictions=True)
    _, encoded = encode_answers(read_records(tmp_path))
    first, second, other = (encoded[record.run_id, "boolq"]["set"] for record in records)
    assert first == second != other


def test_a_run_without_predictions_has_none(tmp_path):
    save(tmp_path, make_record())
    assert encode_answers(read_records(tmp_path)) == ([], {})
