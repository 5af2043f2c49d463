"""An adapter's folder, as an evaluation reads it."""

from pathlib import Path

import pytest

from denselora.evaluation.adapter_folder import training_config
from denselora.weight_files import BINS, MODEL, weights_hash


@pytest.mark.parametrize("name", [*BINS, MODEL])
def test_the_hash_follows_the_weights_whatever_their_file(tmp_path, name):
    found = set()
    for content in (b"", b"one", b"other"):
        (tmp_path / name).write_bytes(content)
        found.add(weights_hash(tmp_path))
    assert len(found) == 3


def test_a_folder_below_the_root_is_no_runs():
    assert training_config(Path("/adapter"), None) is None
