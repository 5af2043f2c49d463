"""The benchmarks: names, answer words, wording, files, and how an answer is read."""

from denselora.tasks.benchmark import Benchmark
from denselora.tasks.commonsense import COMMONSENSE
from denselora.tasks.math import MATH
from denselora.tasks.suites import SUITES, benchmark, benchmarks
from denselora.tasks.wording import SENTENCE, offered

__all__ = [
    "COMMONSENSE",
    "MATH",
    "SENTENCE",
    "SUITES",
    "Benchmark",
    "benchmark",
    "benchmarks",
    "offered",
]
