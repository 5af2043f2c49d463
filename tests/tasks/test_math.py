"""Reading answers of the math benchmarks, as LLM-Adapters' evaluate.py does."""

import pytest

from denselora.tasks import MATH, benchmark


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 42.", "42."),
        ("3 + 4 = 7 apples", "7"),
        ("He has $1,234.50 left", "1234.50"),
        ("It falls to -3", "-3"),
        ("5-2", "-2"),  # the minus belongs to the number, as in the authors' script
        ("none at all", None),
        ("", None),
        ("Take 9. ### Response: so 8", "8"),
    ],
)
def test_the_last_number_is_the_answer(text, number):
    assert benchmark("gsm8k").read(text) == number


@pytest.mark.parametrize(
    ("parsed", "gold", "right"),
    [
        ("42.", "42.0", True),
        ("0.3339", "0.3333", True),
        ("0.335", "0.3333", False),
        ("-42", "42", False),
        (None, "42", False),
    ],
)
def test_numbers_count_within_a_thousandth(parsed, gold, right):
    assert benchmark("gsm8k").is_right(parsed, gold) is right


def test_a_gold_answer_is_a_number_or_one_of_the_words():
    assert [benchmark("SVAMP").can_be_gold(gold) for gold in ("7", "-0.5", "seven", "nan")] == [
        *(True, True, False, False)
    ]
    assert [benchmark("AQuA").can_be_gold(gold) for gold in ("E", "F")] == [True, False]


@pytest.mark.parametrize(
    ("text", "whole_word", "letter"),
    [
        ("The answer is (C).", False, "C"),
        ("Answer: C", False, "A"),  # any capital counts in the authors' script
        ("Answer: C", True, "C"),
        ("the answer is unclear", False, None),
    ],
)
def test_the_first_letter_is_the_answer_of_aqua(text, whole_word, letter):
    aqua = benchmark("AQuA")
    assert aqua.read(text, whole_word) == letter
    assert aqua.is_right(letter, "C") is (letter == "C")


def test_addsub_carries_the_contamination_note_and_only_addsub():
    assert [one.name for one in MATH if one.note] == ["AddSub"]
    assert "math_10k" in benchmark("AddSub").note
