"""The benchmark suites, in the order of the paper's tables.

Answer words: commonsense_evaluate.py of LLM-Adapters, which counts answer5 among ARC's words
(one ARC-Easy row has it as gold); its evaluate.py for AQuA's letters. Sizes: the published test
files.
"""

from denselora.errors import UserError
from denselora.tasks.benchmark import Benchmark


def _numbered(word: str, n: int) -> tuple[str, ...]:
    return tuple(f"{word}{i}" for i in range(1, n + 1))


COMMONSENSE = (
    Benchmark("boolq", "BoolQ", 3270, ("true", "false"), 1 / 2),
    Benchmark("piqa", "PIQA", 1838, _numbered("solution", 2), 1 / 2),
    Benchmark("social_i_qa", "SIQA", 1954, _numbered("answer", 5), 1 / 3),
    Benchmark("hellaswag", "HellaSwag", 10042, _numbered("ending", 4), 1 / 4),
    Benchmark("winogrande", "WinoGrande", 1267, _numbered("option", 2), 1 / 2),
    Benchmark("ARC-Easy", "ARC-e", 2376, _numbered("answer", 5), 1 / 4),
    Benchmark("ARC-Challenge", "ARC-c", 1172, _numbered("answer", 5), 1 / 4),
    Benchmark("openbookqa", "OBQA", 500, _numbered("answer", 5), 1 / 4),
)

MATH = (
    Benchmark("gsm8k", "GSM8K", 1319, (), 0.0),
    Benchmark("AQuA", "AQuA", 254, ("A", "B", "C", "D", "E"), 1 / 5),
    Benchmark(
        "AddSub",
        "AddSub",
        395,
        (),
        0.0,
        note="math_10k holds test rows of AddSub, as LLM-Adapters itself warns, so AddSub after "
        "training on math_10k is no test; train on math_7k for one",
    ),
    Benchmark("SVAMP", "SVAMP", 1000, (), 0.0),
)

SUITES = {"commonsense": COMMONSENSE, "math": MATH}


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name; UserError with the known names otherwise."""
    known = {one.name: one for suite in SUITES.values() for one in suite}
    if name not in known:
        raise UserError(f"tasks: unknown benchmark {name!r}; known: {', '.join(known)}")
    return known[name]


def benchmarks(names, suite: str = "commonsense") -> list[Benchmark]:
    """The named benchmarks in table order; all of the suite for "all"."""
    if names in (None, "all"):
        return list(SUITES[suite])
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise UserError("tasks: the list is empty; name benchmarks or leave it as all")
    chosen = {benchmark(name) for name in names}
    return [one for each in SUITES.values() for one in each if one in chosen]
