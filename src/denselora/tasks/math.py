"""The four math benchmarks of LLM-Adapters; its evaluate.py has AQuA's letters."""

from denselora.tasks.benchmark import Benchmark

MATH = (
    Benchmark(
        name="gsm8k",
        label="GSM8K",
        test_rows=1319,
        answers=(),
        chance=0.0,
        blob="57a7a08e10e12e975e1f972d2b8125c0d4c722b1",
    ),
    Benchmark(
        name="AQuA",
        label="AQuA",
        test_rows=254,
        answers=("A", "B", "C", "D", "E"),
        chance=1 / 5,
        blob="731fbb456f7a93bb4121125de09c4adcf42e5dab",
    ),
    Benchmark(
        name="AddSub",
        label="AddSub",
        test_rows=395,
        answers=(),
        chance=0.0,
        blob="f3996cdf4159b4e1e4b6768865a4db72105f4e2f",
        note="math_10k holds test rows of AddSub, as LLM-Adapters itself warns, so AddSub after "
        "training on math_10k is no test; train on math_7k for one",
    ),
    Benchmark(
        name="SVAMP",
        label="SVAMP",
        test_rows=1000,
        answers=(),
        chance=0.0,
        blob="98b8f1872db596f8aaff2c95d1d698a9fa13b94f",
    ),
)
