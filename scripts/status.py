"""How far every run below a folder is: python scripts/status.py [FOLDER]."""

import argparse
from collections import Counter
from pathlib import Path

from denselora.command_line.entry_point import errors_in_one_line
from denselora.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(description="How far every run below a folder is.")
    parser.add_argument("runs", type=Path, nargs="?", default=Path("runs"))
    folder = parser.parse_args().runs
    from denselora.reproduce.states import STATES, all_states

    with errors_in_one_line():
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give the runs_dir of reproduce.py")
        states = all_states(folder)
        for each in states:
            print(f"{each.state:9}{each.run}" + (f": {each.reason}" if each.reason else ""))
        counts = Counter(each.state for each in states)
        print(f"{len(states)} runs in {folder}: {', '.join(f'{counts[s]} {s}' for s in STATES)}")


if __name__ == "__main__":
    main()
