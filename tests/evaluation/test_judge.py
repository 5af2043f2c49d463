import json

import pytest

from denselora.evaluation.judge import count, read, recount, settled
from denselora.tasks import benchmark

BOOLQ, PIQA = benchmark("boolq"), benchmark("piqa")


def test_paper_reads_the_first_word_after_the_last_response_header(paper):
    assert read(BOOLQ, paper, "true\n### Response: falsehood") == ("false", {"false"})
    assert read(BOOLQ, paper, "either true or false") == ("true", {"true", "false"})
    assert read(BOOLQ, paper, "perhaps") == (None, set())


def test_clean_reads_whole_words_before_another_section(clean):
    assert read(BOOLQ, clean, "falsehood, true.\n### Response: false") == ("true", {"true"})
    assert read(BOOLQ, clean, "\n### Instruction: true or false?") == (None, set())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the correct answer is true", False),
        ("the correct answer is true.", True),
        ("the correct answer is true\N{REPLACEMENT CHARACTER}", False),
        ("the correct answer is tru", False),
        ("the correct answer is truest", False),
        ("no idea ###", True),
    ],
)
def test_clean_is_settled_by_a_word_with_its_border(clean, text, expected):
    assert settled(BOOLQ, clean, text) is expected


def test_what_follows_a_settled_text_changes_nothing(clean):
    text = "the correct answer is solution2 "
    assert settled(PIQA, clean, text)
    for more in ("solution1", "### Response: solution1", "\nno: solution1."):
        assert read(PIQA, clean, text + more)[0] == "solution2"


def test_paper_and_numbers_are_never_settled(paper, clean):
    assert not settled(BOOLQ, paper, "true. It is true.")
    assert not settled(benchmark("gsm8k"), clean, "4 apples. ###")


def test_counts_unparsed_and_ambiguous():
    rows = [
        {"correct": True, "parsed": "true", "named": ["true"]},
        {"correct": False, "parsed": "true", "named": ["false", "true"]},
        {"correct": False, "parsed": None, "named": []},
    ]
    assert count(rows) == {"n": 3, "correct": 1, "unparsed": 1, "ambiguous": 1}


def test_recount_tells_rows_that_are_judged_otherwise_now(paper, tmp_path):
    row = {"id": 0, "prompt_hash": "", "raw": "true", "parsed": "true", "gold": "true"}
    rows = [row | {"correct": True}, row | {"id": 1, "raw": "false", "correct": True}]
    file = tmp_path / "boolq.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in rows))
    figures, changed = recount(file, BOOLQ, paper, "generate")
    assert (figures["n"], figures["correct"], changed) == (2, 1, 1)
