from pathlib import Path

import pytest

from denselora.errors import UserError
from denselora.tasks import COMMONSENSE, Benchmark, benchmark, benchmarks

BOOLQ, PIQA = benchmark("boolq"), benchmark("piqa")
ARC = ("answer1", "answer2", "answer3", "answer4", "answer5")


def read(text: str, answers: tuple[str, ...], whole_word: bool = False) -> str | None:
    one = Benchmark(name="one", label="One", test_rows=1, answers=answers, chance=0.5)
    return one.read(text, whole_word)


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
    assert read("### Response:" + text, answers) == parsed


@pytest.mark.parametrize(
    "text, parsed",
    [("a falsehood, so true", "true"), ("answer is false.", "false"), ("untrue", None)],
)
def test_whole_words_have_a_border_on_both_sides(text, parsed):
    assert read(text, ("true", "false"), whole_word=True) == parsed


def read_and_named(text: str, whole_word: bool = False) -> tuple[str | None, set[str]]:
    return BOOLQ.read(text, whole_word), BOOLQ.named(text, whole_word)


def test_without_whole_words_the_first_word_after_the_last_response_header_counts():
    assert read_and_named("true\n### Response: falsehood") == ("false", {"false"})
    assert read_and_named("either true or false") == ("true", {"true", "false"})
    assert read_and_named("perhaps") == (None, set())


def test_whole_words_are_read_up_to_another_section():
    text = "falsehood, true.\n### Response: false"
    assert read_and_named(text, whole_word=True) == ("true", {"true"})
    text = "\n### Instruction: true or false?"
    assert read_and_named(text, whole_word=True) == (None, set())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the correct answer is true", False),
        ("the correct answer is true.", True),
        ("the correct answer is true\N{REPLACEMENT CHARACTER}", False),
        ("the correct answer is tru", False),
        ("the correct answer is truest", False),
        ("no idea ###", False),
        ("no idea ### ", True),
        ("no idea ####", False),
    ],
)
def test_whole_words_are_settled_by_a_word_with_its_border(text, expected):
    assert BOOLQ.settled(text, whole_word=True) is expected


def test_what_follows_a_settled_text_changes_nothing():
    text = "the correct answer is solution2 "
    assert PIQA.settled(text, whole_word=True)
    for more in ("solution1", "### Response: solution1", "\nno: solution1."):
        assert PIQA.read(text + more, whole_word=True) == "solution2"


def test_parts_of_words_and_numbers_are_never_settled():
    assert not BOOLQ.settled("true. It is true.")
    assert not benchmark("gsm8k").settled("4 apples. ###", whole_word=True)


def test_options_are_those_that_the_row_offers():
    arc = benchmark("ARC-Easy")
    assert arc.options("Which? Answer format: answer1/answer2/answer3") == (
        "answer1",
        "answer2",
        "answer3",
    )
    assert arc.options("Which?") == arc.answers
    assert BOOLQ.options("So?\n\nAnswer format: true/false") == ("true", "false")


def test_benchmarks_come_in_the_order_of_the_papers_tables():
    assert [one.label for one in COMMONSENSE if one.blob] == [
        "BoolQ",
        "PIQA",
        "SIQA",
        "HellaSwag",
        "WinoGrande",
        "ARC-e",
        "ARC-c",
        "OBQA",
    ]
    named = benchmarks(["openbookqa", "boolq"], "commonsense", Path("nowhere"))
    assert named == [BOOLQ, benchmark("openbookqa")]


def test_the_published_test_rows_add_up():
    assert sum(one.test_rows for one in COMMONSENSE if one.blob) == 22_419


def test_an_unknown_benchmark_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"'squad'.*boolq, piqa"):
        benchmarks(["boolq", "squad"], "commonsense", Path("nowhere"))


def test_a_benchmark_that_llm_adapters_lacks_is_in_the_suite_where_the_folder_has_it(
    monkeypatch, tmp_path
):
    ninth = Benchmark(name="ninth", label="9", test_rows=1, answers=("yes", "no"), chance=0.5)
    suites = {"commonsense": (*COMMONSENSE, ninth)}
    monkeypatch.setattr("denselora.tasks.suites.SUITES", suites)
    assert benchmarks("all", "commonsense", tmp_path) == list(COMMONSENSE)
    ninth.test_file(tmp_path).parent.mkdir()
    ninth.test_file(tmp_path).write_text("[]")
    assert benchmarks("all", "commonsense", tmp_path) == [*COMMONSENSE, ninth]


def test_a_row_offers_as_many_answer_words_as_options():
    row = benchmark("ARC-Easy").row("Which is a gas?", ["iron", "oxygen", "salt"], 1)
    assert row["instruction"].endswith("Answer format: answer1/answer2/answer3")
    assert (row["answer"], row["output"]) == ("answer2", "the correct answer is answer2")
    with pytest.raises(ValueError, match="hidden"):
        benchmark("ARC-Easy").row("Which is a gas?", ["iron", "oxygen", "salt"], -1)


@pytest.mark.parametrize("one", [one for one in COMMONSENSE if one.wording and one.wording.plain])
def test_a_rows_parts_are_those_it_was_made_of(one):
    options = ["an Answer1: of its own", "b", "two words", "d"][: len(one.answers)]
    question = f"What is\n\n{one.answers[0].capitalize()}: x?"
    instruction = one.row(question, options, 1)["instruction"]
    words = one.options(instruction)
    assert one.wording.parts(instruction, words) == (question, options)
    with pytest.raises(ValueError, match="isn't worded"):
        one.wording.parts(instruction.replace(": b", " b"), words)
