import json
from collections import Counter
from itertools import pairwise

import pytest

from denselora.data.order import shuffled
from denselora.data.subset import kind, subset
from denselora.errors import UserError

FORMATS = ["true/false"] * 60 + ["answer1/answer2/answer3"] * 30 + ["option1/option2"] * 10
INSTRUCTIONS = [f"Question {n}?\n\nAnswer format: {form}" for n, form in enumerate(FORMATS)]


def order(seed: int = 1) -> list[int]:
    return shuffled(len(FORMATS), seed, "validation")


@pytest.mark.parametrize("balanced", [False, True])
def test_a_smaller_part_lies_within_a_larger_one(balanced):
    parts = [subset(order(), INSTRUCTIONS, f / 10, balanced=balanced) for f in range(1, 11)]
    assert [len(part) for part in parts] == [10 * f for f in range(1, 11)]
    for small, large in pairwise(parts):
        assert large[: len(small)] == small
    assert sorted(parts[-1]) == list(range(100))


def test_the_seed_decides_the_part():
    assert subset(order(1), INSTRUCTIONS, 0.2) == subset(order(1), INSTRUCTIONS, n_train=20)
    assert set(subset(order(1), INSTRUCTIONS, 0.2)) != set(subset(order(2), INSTRUCTIONS, 0.2))


def test_balanced_takes_each_kind_in_turn_while_it_lasts():
    def kinds(n: int) -> Counter:
        numbers = subset(order(), INSTRUCTIONS, n_train=n, balanced=True)
        return Counter(kind(INSTRUCTIONS[number]) for number in numbers)

    assert kinds(30) == {"false": 10, "answer3": 10, "option2": 10}
    assert kinds(50) == {"false": 20, "answer3": 20, "option2": 10}


def test_plain_keeps_the_shares_roughly():
    numbers = subset(list(range(0, 100, 2)), INSTRUCTIONS, 0.5)
    assert numbers == list(range(0, 50, 2))


def test_without_a_size_all_rows_are_taken_in_order():
    assert subset(order(), INSTRUCTIONS) == order()


def test_arc_with_five_answers_is_no_kind_of_its_own():
    four, five = ("/".join(f"answer{i}" for i in range(1, n + 1)) for n in (4, 5))
    assert kind(f"Q\n\nAnswer format: {five}") == kind(f"Q\n\nAnswer format: {four}") == "answer4"
    assert kind("How many apples?") == "free"


def test_more_rows_than_there_are_are_refused():
    with pytest.raises(UserError, match=r"data.n_train=101: give 1 to 100"):
        subset(order(), INSTRUCTIONS, n_train=101)


def test_a_run_trains_on_the_part_alone(script, model_folder, data_folder, tmp_path):
    run = [
        "model=llama3_8b",
        f"model.path={model_folder}",
        "data=local",
        f"data.path={data_folder}",
    ]
    run += ["adapter.r=4", "trainer.global_batch_size=4", "trainer.micro_batch_size=2"]
    run += ["trainer.epochs=1", "trainer.validation_rows=4"]
    out = tmp_path / "run"
    code, _, err = script("train", *run, "data.fraction=0.4", f"output_dir={out}")
    assert code == 0, err
    training = json.loads((out / "adapter" / "training.json").read_text())["training"]
    assert (training["rows"], training["steps"]) == (8, 2)  # 0.4 of 24 - 4 rows, in fours
