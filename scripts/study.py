"""docs/study.md on one GPU: python scripts/study.py, with options of scripts/reproduce.py."""

import sys

from denselora.command_line.entry_point import errors_in_one_line


def main() -> None:
    from denselora.reproduce.study import study

    with errors_in_one_line():
        study(sys.argv[1:])


if __name__ == "__main__":
    main()
