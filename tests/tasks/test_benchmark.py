import pytest

from denselora.errors import UserError
from denselora.tasks import COMMONSENSE, benchmark, benchmarks, extract_answer

ARC = ("answer1", "answer2", "answer3", "answer4", "answer5")


@pytest.mark.parametrize(
    "text, answers, parsed",
    [
        ("the correct answer is true", ("true", "false"), "true"),
        ("false, not true", ("true", "false"), "false"),
        ("True", ("true", "false"), None),
        ("that is a falsehood", ("true", "false"), "false"),
        ("the correct answer is answer12", ARC, "answer1"),
        ("answer6", ARC, None),
        ("solution2\nsolution1", ("solution1", "solution2"), "solution2"),
        ("", ARC, None),
        ("answer1\n### Response:\n  answer3", ARC, "answer3"),
        ("answer2\n### Response:", ARC, None),
    ],
)
def test_the_first_answer_word_after_the_last_response_counts(text, answers, parsed):
    assert extract_answer("### Response:" + text, answers) == parsed


@pytest.mark.parametrize(
    "text, parsed",
    [("a falsehood, so true", "true"), ("answer is false.", "false"), ("untrue", None)],
)
def test_whole_words_have_a_border_on_both_sides(text, parsed):
    assert extract_answer(text, ("true", "false"), whole_word=True) == parsed


def test_benchmarks_come_in_the_order_of_the_papers_tables():
    assert [one.label for one in COMMONSENSE] == [
        "BoolQ",
        "PIQA",
        "SIQA",
        "HellaSwag",
        "WinoGrande",
        "ARC-e",
        "ARC-c",
        "OBQA",
    ]
    assert benchmarks(["openbookqa", "boolq"]) == [benchmark("boolq"), benchmark("openbookqa")]


def test_the_published_test_rows_add_up():
    assert sum(one.test_rows for one in COMMONSENSE) == 22_419


def test_an_unknown_benchmark_is_told_the_known_ones():
    with pytest.raises(UserError, match=r"'squad'.*boolq, piqa"):
        benchmarks(["boolq", "squad"])
