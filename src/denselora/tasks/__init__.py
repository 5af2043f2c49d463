"""Benchmarks as data: where the rows are, which words answer, how the answer is read."""

from denselora.tasks.benchmark import Benchmark, extract_answer
from denselora.tasks.suites import COMMONSENSE, SUITES, benchmark, benchmarks

__all__ = ["COMMONSENSE", "SUITES", "Benchmark", "benchmark", "benchmarks", "extract_answer"]
