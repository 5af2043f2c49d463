"""Wrong input, as a table: what somebody types, and what the one line that answers it must hold.

Each topic is a file with CASES; `test_wrong_input.py` runs them all through the real scripts.

    case("train seed=-1", "seed=-1:", "0 or more")

The words are a script and options as on a command line. <model>, <data> and <run> stand for a small
model, its data and a finished run on both; train, evaluate, reproduce and ask get them unless the
words name others. `given` puts files into the folder that the script runs in: `files`, `copy_of`.
"""
