"""Eight miniature benchmarks and a training set in the layout of LLM-Adapters.

Wording, number of options and answer words are those of the real files
(github.com/AGI-Edgerunners/LLM-Adapters, dataset/<benchmark>/test.json).
"""

import random

from denselora.world.facts import World
from denselora.world.questions import BY_BENCHMARK, Question

_CHOICE = "Please choose the correct answer to the question: {stem}\n\n{options}\n\n"
_LAYOUTS = {
    "boolq": ("Please answer the following question with true or false, question: {stem}\n\n", ""),
    "piqa": (
        "Please choose the correct solution to the question: {stem}\n\n{options}\n\n",
        "solution",
    ),
    "social_i_qa": (_CHOICE, "answer"),
    "hellaswag": (
        "Please choose the correct ending to complete the given sentence: {stem}\n\n{options}\n\n",
        "ending",
    ),
    "winogrande": (
        "Please choose the correct answer to fill in the blank to complete the given sentence: "
        "{stem}\n\n{options} ",
        "option",
    ),
    "ARC-Easy": (_CHOICE, "answer"),
    "ARC-Challenge": (_CHOICE, "answer"),
    "openbookqa": (_CHOICE, "answer"),
}


def make_row(benchmark: str, question: Question, position: int) -> dict[str, str]:
    """Lay a question out as that benchmark does, with the right option at position (from 0)."""
    layout, word = _LAYOUTS[benchmark]
    if word:
        options = list(question.wrong)
        options.insert(position, question.right)
        labels = [f"{word}{i + 1}" for i in range(len(options))]
        gap = "\n\n" if benchmark == "piqa" else " "
        listed = gap.join(
            f"{label.capitalize()}: {option}" for label, option in zip(labels, options, strict=True)
        )
        answer = labels[position]
    else:
        labels, listed, answer = ["true", "false"], "", question.right
    instruction = layout.format(stem=question.stem, options=listed)
    return {
        "instruction": f"{instruction}Answer format: {'/'.join(labels)}",
        "input": "",
        "output": f"the correct answer is {answer}",
        "answer": answer,
    }


def make_rows(
    world: World, benchmark: str, count: int, rng: random.Random, held_out: bool
) -> list[dict[str, str]]:
    """Distinct questions with every answer equally often."""
    rows: list[dict[str, str]] = []
    asked: set[tuple[str, str, tuple[str, ...]]] = set()
    while len(rows) < count:
        question = BY_BENCHMARK[benchmark](world, rng, held_out)
        answers = 1 + len(question.wrong)
        position = len(rows) % answers
        if benchmark == "boolq" and question.right != ("true", "false")[position]:
            continue
        key = (question.stem, question.right, tuple(sorted(question.wrong)))
        if key in asked:
            continue
        asked.add(key)
        rows.append(make_row(benchmark, question, position))
    rng.shuffle(rows)
    return rows


def make_benchmarks(
    world: World, test_rows: int = 240, train_rows: int = 800
) -> tuple[list[dict[str, str]], dict[str, list[dict[str, str]]]]:
    """Return the shuffled training rows of all eight and the test rows of each."""
    tests: dict[str, list[dict[str, str]]] = {}
    train: list[dict[str, str]] = []
    for benchmark in BY_BENCHMARK:
        rng = random.Random(f"{world.seed} {benchmark}")
        tests[benchmark] = make_rows(world, benchmark, test_rows, rng, held_out=True)
        train += make_rows(world, benchmark, train_rows, rng, held_out=False)
    random.Random(f"{world.seed} train").shuffle(train)
    return train, tests
