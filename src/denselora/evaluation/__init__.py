"""Scoring of adapters and bases. `evaluate` in run.py leads through it."""
