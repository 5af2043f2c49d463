import json

import pytest

from denselora.data.rows import read_rows
from denselora.errors import UserError

ROW = {"instruction": "q", "input": "", "output": "the correct answer is true", "answer": "true"}


def written(tmp_path, content) -> str:
    file = tmp_path / "train.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(file)


def refused(file, scored=False) -> str:
    with pytest.raises(UserError) as error:
        read_rows(file, scored=scored)
    message = str(error.value)
    assert file in message and "\n" not in message
    return message


def test_rows_come_back_as_written(tmp_path):
    rows = read_rows(written(tmp_path, [ROW, {**ROW, "instruction": "ünïcode\n"}]))
    assert rows[1] == {**ROW, "instruction": "ünïcode\n"} and len(rows) == 2


def test_a_missing_input_is_empty(tmp_path):
    without = {key: value for key, value in ROW.items() if key != "input"}
    assert read_rows(written(tmp_path, [without]))[0]["input"] == ""


@pytest.mark.parametrize(
    ("field", "scored"),
    [("instruction", False), ("instruction", True), ("output", False), ("answer", True)],
)
def test_a_row_without_a_field_that_is_used_is_named(tmp_path, field, scored):
    broken = {key: value for key, value in ROW.items() if key != field}
    message = refused(written(tmp_path, [ROW, ROW, broken]), scored)
    assert "row 3" in message and field in message


@pytest.mark.parametrize(("field", "scored"), [("answer", False), ("output", True)])
def test_a_field_that_is_not_used_may_be_missing(tmp_path, field, scored):
    without = {key: value for key, value in ROW.items() if key != field}
    assert read_rows(written(tmp_path, [ROW, without]), scored=scored)[1][field] == ""


@pytest.mark.parametrize("value", [None, 3, ["x"], " "])
def test_a_field_that_is_no_text_is_named(tmp_path, value):
    message = refused(written(tmp_path, [ROW, {**ROW, "answer": value}]), scored=True)
    assert "row 2" in message and "answer" in message


def test_malformed_json_names_file_and_row(tmp_path):
    text = json.dumps([ROW, ROW, ROW]).replace('"answer": "true"}]', '"answer": tr}]')
    assert "row 3" in refused(written(tmp_path, text))


def test_a_cut_off_file_names_its_last_row(tmp_path):
    text = json.dumps([ROW, ROW], indent=1)
    assert "row 2" in refused(written(tmp_path, text[: len(text) - 20]))


@pytest.mark.parametrize("content", ["", "{}", "[]", '"text"', "[1]"])
def test_a_file_that_is_no_list_of_rows_is_refused(tmp_path, content):
    refused(written(tmp_path, content))


def test_a_missing_file_says_what_was_expected(tmp_path):
    assert "test.json" in refused(str(tmp_path / "nowhere" / "test.json"))


def test_text_that_is_not_utf8_is_refused(tmp_path):
    file = tmp_path / "latin.json"
    file.write_bytes('[{"instruction": "é"}]'.encode("latin-1"))
    assert "UTF-8" in refused(str(file))


def test_only_rows_to_be_scored_may_have_no_output(tmp_path):
    file = written(tmp_path, [ROW, {**ROW, "output": ""}])
    assert "output" in refused(file)
    assert read_rows(file, scored=True)[1]["output"] == ""


def test_half_a_surrogate_pair_is_named(tmp_path):
    message = refused(written(tmp_path, [ROW, {**ROW, "instruction": "\ud83d"}]))
    assert "row 2" in message and "instruction" in message


def test_json_nested_beyond_reason_is_refused(tmp_path):
    assert "recursion" in refused(written(tmp_path, "[" * 200_000))


@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_json_lines_are_named_as_such(tmp_path, separator):
    text = separator.join([json.dumps(ROW)] * 2)
    assert "JSON Lines, not JSON; expected a JSON list" in refused(written(tmp_path, text))


def test_a_field_that_a_row_has_twice_is_named(tmp_path):
    text = json.dumps([ROW, ROW])[:-2] + ', "output": "the correct answer is false"}]'
    assert "row 2 has the field 'output' twice" in refused(written(tmp_path, text))
