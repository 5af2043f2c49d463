"""How far every run below a folder is: python scripts/status.py [FOLDER]."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from denselora.errors import UserError


def main() -> int:
    parser = argparse.ArgumentParser(description="How far every run below a folder is.")
    parser.add_argument("runs", type=Path, nargs="?", default=Path("runs"))
    folder = parser.parse_args().runs
    from denselora.reproduce.states import STATES, all_states

    try:
        states = all_states(folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for each in states:
        print(f"{each.state:9}{each.run}" + (f": {each.reason}" if each.reason else ""))
    counts = Counter(each.state for each in states)
    print(f"{len(states)} runs in {folder}: {', '.join(f'{counts[s]} {s}' for s in STATES)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
