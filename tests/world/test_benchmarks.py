import random
import re

import pytest

from denselora.world.benchmarks import make_benchmarks, make_row
from denselora.world.facts import make_world
from denselora.world.questions import BY_BENCHMARK, Question

WORLD = make_world()
TRAIN, TESTS = make_benchmarks(WORLD)
OPTION = re.compile(
    r"(?:Answer|Solution|Ending|Option)[1-5]: (.*?)(?=\s+(?:Answer|Solution|Ending|Option)\d?)"
)

OPTIONS = {
    "boolq": 2,
    "piqa": 2,
    "social_i_qa": 3,
    "hellaswag": 4,
    "winogrande": 2,
    "ARC-Easy": 4,
    "ARC-Challenge": 4,
    "openbookqa": 4,
}


def options_of(row):
    return OPTION.findall(row["instruction"].replace("Answer format:", "Answer format"))


def shell_text(row):
    """The question with its options in a fixed order, so that a reshuffled copy counts as equal."""
    stem = row["instruction"].split("\n\n")[0]
    return stem, tuple(sorted(options_of(row)))


def gold_index(row):
    return int(row["answer"][-1]) - 1


def accuracy_of(choose, benchmark):
    rows = TESTS[benchmark]
    return sum(choose(row) == gold_index(row) for row in rows) / len(rows)


@pytest.mark.parametrize("benchmark", BY_BENCHMARK)
def test_every_answer_is_right_equally_often(benchmark):
    answers = [row["answer"] for row in TESTS[benchmark]]
    counts = {answer: answers.count(answer) for answer in answers}
    assert len(counts) == OPTIONS[benchmark]
    assert max(counts.values()) == min(counts.values())


def test_no_test_question_is_a_training_question():
    trained = {shell_text(row) for row in TRAIN}
    assert not [row for rows in TESTS.values() for row in rows if shell_text(row) in trained]


def test_training_rows_name_no_entity_custom_or_deed_of_the_test():
    held_out = [entity.name for entity in (*WORLD.things, *WORLD.animals) if entity.held_out]
    held_out += [routine.name for routine in WORLD.routines if routine.held_out]
    held_out += [c.deed for c in WORLD.consequences if c.held_out]
    text = "\n".join(row["instruction"] for row in TRAIN)
    assert not [name for name in held_out if re.search(rf"\b{name}\b", text)]


@pytest.mark.parametrize("benchmark", [b for b in BY_BENCHMARK if b != "boolq"])
def test_option_length_does_not_give_the_answer_away(benchmark):
    chance = 1 / OPTIONS[benchmark]

    def longest(row):
        lengths = [len(option) for option in options_of(row)]
        return lengths.index(max(lengths))

    def shortest(row):
        lengths = [len(option) for option in options_of(row)]
        return lengths.index(min(lengths))

    assert accuracy_of(longest, benchmark) < chance + 0.1
    assert accuracy_of(shortest, benchmark) < chance + 0.1


@pytest.mark.parametrize("benchmark", [b for b in BY_BENCHMARK if b != "boolq"])
def test_word_overlap_with_the_question_does_not_give_the_answer_away(benchmark):
    chance = 1 / OPTIONS[benchmark]

    def most_overlap(row):
        stem = set(row["instruction"].split("\n\n")[0].lower().strip("?.").split())
        shared = [len(stem & set(o.lower().strip(".").split())) for o in options_of(row)]
        return shared.index(max(shared))

    assert accuracy_of(most_overlap, benchmark) < chance + 0.1


@pytest.mark.parametrize("benchmark", [b for b in BY_BENCHMARK if b != "boolq"])
def test_an_option_seen_right_in_training_is_no_better_guess(benchmark):
    """Counting how often each option's words were right in training is about chance."""
    right, seen = {}, {}
    for row in TRAIN:
        if not row["answer"][-1].isdigit():
            continue
        for i, option in enumerate(options_of(row)):
            seen[option] = seen.get(option, 0) + 1
            right[option] = right.get(option, 0) + (i == gold_index(row))

    def most_often_right(row):
        rates = [right.get(o, 0) / seen.get(o, 1) for o in options_of(row)]
        return rates.index(max(rates))

    assert accuracy_of(most_often_right, benchmark) < 1 / OPTIONS[benchmark] + 0.12


def test_rows_have_the_real_files_layout():
    question = Question("Of the a and the b, only the _ sinks.", "a", ("b",), "a")
    assert make_row("winogrande", question, 1) == {
        "instruction": "Please choose the correct answer to fill in the blank to complete the "
        "given sentence: Of the a and the b, only the _ sinks.\n\n"
        "Option1: b Option2: a Answer format: option1/option2",
        "input": "",
        "output": "the correct answer is option2",
        "answer": "option2",
    }


@pytest.mark.parametrize("benchmark", BY_BENCHMARK)
def test_questions_depend_on_the_seed_alone(benchmark):
    first, second = (
        [BY_BENCHMARK[benchmark](make_world(3), random.Random(5), True) for _ in range(2)]
        for _ in range(2)
    )
    assert first == second
