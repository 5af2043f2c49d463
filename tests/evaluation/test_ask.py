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


def test_questions_are_lines_rows_or_a_whole_file():
    lines = ["Is it?\\nSay.\n", "\n", '{"instruction": "So?", "input": "x"}\n']
    asked = [(row["instruction"], row["input"]) for row in read_questions(lines)]
    assert asked == [("Is it?\nSay.", ""), ("So?", "x")]
    whole = ["[\n", '{"instruction": "A"},\n', '{"instruction": "B"}]\n']
    assert [row["instruction"] for row in read_questions(whole)] == ["A", "B"]


@pytest.mark.parametrize("line", ['{"instruction": ', '{"question": "x"}', "[1]"])
def test_bad_lines_are_named(line):
    with pytest.raises(UserError, match="line 2"):
        list(read_questions(["fine\n", line]))


def test_piped_questions_are_answered(script, base_folder, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("Yes? Answer format: true/false\n"))
    code, out, err = script("ask", f"model.path={base_folder}")
    assert code == 0, err
    assert "### Response:" in out and "probability of each option" in out
