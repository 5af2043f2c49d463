import json

import pytest
import torch
from safetensors.torch import save_file

from denselora.errors import UserError
from denselora.weight_files import check_weights

WHOLE = {"a": torch.ones(3), "b": torch.ones(2, 2)}


def write_parts(folder):
    """A model in two files with an index."""
    for number, name in enumerate(WHOLE):
        save_file({name: WHOLE[name]}, folder / f"model-{number}.safetensors")
    names = {"a": "model-0.safetensors", "b": "model-1.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def test_a_folder_has_weights_or_not(tmp_path):
    assert not check_weights(tmp_path, "")
    write_parts(tmp_path)
    assert check_weights(tmp_path, "")
    save_file(WHOLE, tmp_path / "adapter_model.safetensors")
    assert check_weights(tmp_path, "")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "cut off or not safetensors"),
        (lambda file: file.write_bytes(file.read_bytes()[:20]), "cut off or not safetensors"),
        (lambda file: torch.save(WHOLE, file), "a pickle"),
        (lambda file: file.unlink(), "No such file"),
    ],
)
def test_a_part_that_is_not_whole_is_named(tmp_path, spoil, fault):
    write_parts(tmp_path)
    spoil(tmp_path / "model-1.safetensors")
    with pytest.raises(UserError, match=rf"model-1\.safetensors: .*{fault}.*; get it"):
        check_weights(tmp_path, "get it again")


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580])
def test_a_header_whose_length_begins_like_a_pickle_is_no_pickle(tmp_path, length):
    file = tmp_path / "adapter_model.safetensors"
    save_file(WHOLE, file, {"": ""})
    without = int.from_bytes(file.read_bytes()[:8], "little")
    save_file(WHOLE, file, {"": "x" * (length - without)})
    assert file.read_bytes()[:8] == length.to_bytes(8, "little")
    assert check_weights(tmp_path, "")


@pytest.mark.parametrize("index", ["{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "[]"])
def test_an_index_that_names_no_files_is_refused(tmp_path, index):
    write_parts(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UserError, match=r"index\.json: .*; get it"):
        check_weights(tmp_path, "get it again")
