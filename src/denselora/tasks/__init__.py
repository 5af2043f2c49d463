"""Benchmarks as data: where the rows are, which words answer, how the answer is read."""

from denselora.tasks.benchmark import (
    Benchmark,
    answer_pattern,
    extract_answer,
    extract_number,
)
from denselora.tasks.suites import COMMONSENSE, MATH, SUITES, benchmark, benchmarks

__all__ = [
    "COMMONSENSE",
    "MATH",
    "SUITES",
    "Benchmark",
    "answer_pattern",
    "benchmark",
    "benchmarks",
    "extract_answer",
    "extract_number",
]
