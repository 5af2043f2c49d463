"""Benchmarks as data: where the rows are, which words answer, how the answer is read."""

from denselora.tasks.benchmark import Benchmark, extract_answer, extract_number
from denselora.tasks.suites import COMMONSENSE, MATH, SUITES, benchmark, benchmarks

__all__ = [
    "COMMONSENSE",
    "MATH",
    "SUITES",
    "Benchmark",
    "benchmark",
    "benchmarks",
    "extract_answer",
    "extract_number",
]
