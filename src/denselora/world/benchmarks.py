"""Eight miniature benchmarks and a training set, worded as the real ones."""

import random

from denselora.tasks import benchmark
from denselora.world.facts import World
from denselora.world.questions import BY_BENCHMARK, Question


def make_row(name: str, question: Question, position: int) -> dict[str, str]:
    """Lay a question out as that benchmark does, with the right option at position (from 0)."""
    task = benchmark(name)
    if question.right in task.answers:
        return task.row(question.stem, (), task.answers.index(question.right))
    options = list(question.wrong)
    options.insert(position, question.right)
    return task.row(question.stem, options, position)


def make_rows(
    world: World, name: str, count: int, rng: random.Random, held_out: bool
) -> list[dict[str, str]]:
    """Distinct questions with every answer equally often."""
    rows: list[dict[str, str]] = []
    asked: set[tuple[str, str, tuple[str, ...]]] = set()
    known = benchmark(name).answers
    while len(rows) < count:
        question = BY_BENCHMARK[name](world, rng, held_out)
        answers = 1 + len(question.wrong)
        position = len(rows) % answers
        if question.right in known and question.right != known[position]:
            continue
        key = (question.stem, question.right, tuple(sorted(question.wrong)))
        if key in asked:
            continue
        asked.add(key)
        rows.append(make_row(name, question, position))
    rng.shuffle(rows)
    return rows


def make_benchmarks(
    world: World, test_rows: int = 240, train_rows: int = 800
) -> tuple[list[dict[str, str]], dict[str, list[dict[str, str]]]]:
    """Return the shuffled training rows of all eight and the test rows of each."""
    tests: dict[str, list[dict[str, str]]] = {}
    train: list[dict[str, str]] = []
    for name in BY_BENCHMARK:
        rng = random.Random(f"{world.seed} {name}")
        tests[name] = make_rows(world, name, test_rows, rng, held_out=True)
        train += make_rows(world, name, train_rows, rng, held_out=False)
    random.Random(f"{world.seed} train").shuffle(train)
    return train, tests
