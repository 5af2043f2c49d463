"""The embedded small world: its facts, its pretraining text and its eight benchmarks."""
