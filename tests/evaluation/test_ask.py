import pytest

from denselora.errors import UserError
from denselora.evaluation.ask import ask, read_questions
from tests.evaluation.models import make_rows


def test_a_question_gets_prompt_answer_and_probabilities(respondent, paper):
    row = make_rows("piqa", 1, seed=8)[0]
    answer = ask(respondent, {"instruction": row["instruction"], "input": ""})
    assert answer.prompt == paper.evaluation_prompt(row)
    assert set(answer.probabilities) == {"solution1", "solution2"}
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.parsed is None or answer.parsed in answer.text


def test_options_may_be_given_or_absent(respondent):
    question = {"instruction": "Is it so?", "input": ""}
    assert set(ask(respondent, question, ["yes", "no", "perhaps"]).probabilities) == {
        "yes",
        "no",
        "perhaps",
    }
    assert ask(respondent, question).probabilities == {}
    asked_otherwise = question | {"instruction": "Is it?\n\nAnswer format: yes/no"}
    found = ask(respondent, asked_otherwise, ["yes", "perhaps"]).probabilities
    assert set(found) == {"yes", "perhaps"}
    with pytest.raises(UserError, match="options=yes,yes: each one once"):
        ask(respondent, question, ["yes", "yes"])


def test_questions_are_lines_rows_or_a_whole_file():
    lines = [b"Is it?\\nSay.\n", b"\n", b'{"instruction": "So?", "input": "x", "answer": 3}\n']
    asked = [(row["instruction"], row["input"]) for row in read_questions(lines)]
    assert asked == [("Is it?\nSay.", ""), ("So?", "x")]
    whole = [b"[\n", b'{"instruction": "A"},\n', b'{"instruction": "B"}]\n']
    assert [row["instruction"] for row in read_questions(whole)] == ["A", "B"]
    over_lines = [
        b"{\n",
        b'"instruction": "A"}\n',
        b'{"instruction": "B"}\n',
        b'[{"instruction":"C"}]',
    ]
    assert [row["instruction"] for row in read_questions(over_lines)] == ["A", "B", "C"]


def test_a_row_is_asked_before_the_next_line_comes():
    def lines():
        yield b'{"instruction": "A"}\n'
        raise AssertionError("waited for the next")

    assert next(read_questions(lines()))["instruction"] == "A"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"instruction": ', "malformed JSON"),
        (b'{"question": "x"}', "without an instruction"),
        (b"[1]", "without an instruction"),
        (b'{"instruction": "x", "input": null}', "'input' is null"),
        (b'{"instruction": 5}', "'instruction' is a number"),
        ("é".encode("latin-1"), "not UTF-8"),
        ('{"instruction": "é"}'.encode("utf-16"), "UTF-16"),
        (b'\xef\xbb\xbf{"instruction": "A"}', "byte order mark"),
        (b'{"instruction": "A"}\n{"instruction": }', "malformed"),
        (b'[{"instruction": "A"}', "malformed"),
    ],
)
def test_bad_lines_are_named(line, says):
    with pytest.raises(UserError, match=f"standard input, line [23]: .*{says}") as error:
        list(read_questions([b"fine\n", *line.splitlines(keepends=True)]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("row", ['{"instruction": "So?"}', '[{"instruction": "So?"}]'])
def test_a_row_without_gold_or_answer_format_is_answered(respondent, row):
    (question,) = read_questions([row.encode()])
    answer = ask(respondent, question)
    assert answer.parsed is None or answer.parsed in answer.text
    assert "None" not in answer.prompt


def test_piped_questions_are_answered(script, base_folder, monkeypatch):
    import io

    piped = io.TextIOWrapper(io.BytesIO(b"Yes? Answer format: true/false\n"))
    monkeypatch.setattr("sys.stdin", piped)
    code, out, err = script("ask", f"model.path={base_folder}")
    assert code == 0, err
    assert "### Response:" in out and "probability of each option" in out
