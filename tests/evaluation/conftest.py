"""A model that has learnt to answer, its tokenizer, and the two protocols."""

import json
from pathlib import Path

import pytest

from denselora.evaluation.respondent import Respondent
from denselora.protocol import Protocol
from tests.configs import read_protocol
from tests.evaluation.models import LAYOUTS, make_model, make_rows, make_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="session")
def paper() -> Protocol:
    return read_protocol("paper")


@pytest.fixture(scope="session")
def clean() -> Protocol:
    return read_protocol("clean")


@pytest.fixture(scope="session")
def trained(tokenizer, paper):
    """A model with doubts: it answers mostly in the right form."""
    return make_model(tokenizer, paper, steps=18)


@pytest.fixture(scope="session")
def respondent(trained, tokenizer, paper) -> Respondent:
    """The trained model, asked in the paper's words."""
    return Respondent(trained, tokenizer, paper)


@pytest.fixture(scope="session")
def base_folder(trained, tokenizer, tmp_path_factory) -> Path:
    """The trained model as a folder."""
    folder = tmp_path_factory.mktemp("base")
    trained.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def rows_folder(tmp_path_factory) -> Path:
    """Test rows of three benchmarks in the LLM-Adapters layout."""
    folder = tmp_path_factory.mktemp("rows")
    for name in LAYOUTS:
        (folder / name).mkdir()
        (folder / name / "test.json").write_text(json.dumps(make_rows(name, 10, seed=2)))
    return folder
