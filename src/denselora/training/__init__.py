"""One training. `train` in run.py leads through it."""
