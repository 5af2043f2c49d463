"""Every case ends in one line, with exit code 2, and leaves the folder as it was."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.tiny import write_data, write_model
from tests.wrong_input import damaged, kept, options, pairs, rows, sharing
from tests.wrong_input.case import Case
from tests.wrong_input.interpreter import Interpreter

TOPICS = (options, damaged, kept, rows, pairs, sharing)
CASES = [case for topic in TOPICS for case in topic.CASES]


@pytest.fixture(scope="module")
def interpreter():
    interpreter = Interpreter()
    yield interpreter
    interpreter.close()


@pytest.fixture(scope="module")
def places(interpreter, tmp_path_factory) -> dict[str, Path]:
    """What <model>, <data> and <run> stand for."""
    folder = tmp_path_factory.mktemp("places")
    places = {
        "model": write_model(folder / "model"),
        "data": write_data(folder / "data"),
        "run": folder / "run",
    }
    training = Case("train adapter.r=2 trainer.max_steps=2 trainer.save_steps=1 output_dir=<run>",
                    (), None, b"", {})  # fmt: skip
    code, _, err = interpreter.run(training.command(places), folder, folder)
    assert code == 0, err
    return places


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_is_answered_in_one_line(case, interpreter, places, tmp_path):
    here, output = tmp_path / "here", tmp_path / "output"
    here.mkdir(), output.mkdir()
    if case.given:
        case.given(here, places)
    before = _contents(here)
    code, _, err = interpreter.run(case.command(places), here, output, case.stdin, case.environment)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(errors) == 1 and "Traceback" not in err, err
    for words in case.says:
        assert words in errors[0], errors[0]
    assert _contents(here) == before


def _contents(folder: Path) -> dict[str, str]:
    """What is in a folder, by path: a digest of each file, else the kind of thing."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file() and os.access(path, os.R_OK)
            else oct(path.lstat().st_mode)
        )
        for path in sorted(folder.rglob("*"))
    }
