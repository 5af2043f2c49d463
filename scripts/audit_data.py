"""Audit a data folder: python scripts/audit_data.py data/commonsense --tokenizer MODEL.

Prints a Markdown report, and can write it and the list of test rows that training files hold.
"""

import argparse
from pathlib import Path

from omegaconf import OmegaConf

from denselora.command_line.configs import CONFIGS, composed
from denselora.command_line.entry_point import errors_in_one_line
from denselora.data.audit import OVERLAP, audit, overlap_json, report
from denselora.files import write_text
from denselora.models import load_tokenizer
from denselora.protocol import Protocol


def main() -> None:
    parser = argparse.ArgumentParser(description="Report what a data folder holds.")
    parser.add_argument("folder", type=Path, help="<benchmark>/test.json, training JSON beside it")
    parser.add_argument(
        "--tokenizer", metavar="MODEL", help="hub id or folder, to count rows beyond the cut-off"
    )
    known = sorted(file.stem for file in (CONFIGS / "protocol").glob("*.yaml"))
    parser.add_argument(
        "--protocol", choices=known, default="paper", help="whose prompt and cut-off count"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument(
        "--overlap",
        action="store_true",
        help=f"write FOLDER/{OVERLAP}, for evaluation to leave out",
    )
    options = parser.parse_args()
    with errors_in_one_line():
        config = composed("train", [f"protocol={options.protocol}"])
        protocol = Protocol.from_config(OmegaConf.to_container(config.protocol))
        tokenizer = load_tokenizer(options.tokenizer) if options.tokenizer else None
        findings = audit(options.folder, protocol, tokenizer)
        text = report(findings)
        if options.output:
            write_text(options.output, text)
        if options.overlap:
            write_text(options.folder / OVERLAP, overlap_json(findings))
        print(text)


if __name__ == "__main__":
    main()
