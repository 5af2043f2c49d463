"""Try it: python scripts/demo.py, with options of scripts/reproduce.py if you like."""

import sys

from denselora.command_line.entry_point import errors_in_one_line


def main() -> None:
    from denselora.reproduce.demo import demo

    with errors_in_one_line():
        demo(sys.argv[1:])


if __name__ == "__main__":
    main()
