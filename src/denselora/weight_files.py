"""Files of weights, checked before a library opens them: what it would say is no help."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from denselora.errors import UserError, first_line
from denselora.readers import read_head, read_json

MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"
# torch's own files, which are read without running what they hold
BINS = ("adapter_model.bin", "pytorch_model.bin")
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def check_weights(folder: Path, fix: str) -> bool:
    """Whether a folder has weights: an adapter's, a model's, or a model's in several files.

    Only headers are read. Raises UserError for a file that isn't whole. fix: what to do about it.
    """
    # exists, not is_file: a pipe is found too
    found = [name for name in (ADAPTER, MODEL) if (folder / name).exists()]
    if (folder / INDEX).exists() and MODEL not in found:
        parts = read_json(folder / INDEX, fix).get("weight_map")
        if not isinstance(parts, dict) or not all(isinstance(p, str) for p in parts.values()):
            raise UserError(f"{folder / INDEX}: weight_map doesn't name a file by tensor; {fix}")
        found += dict.fromkeys(parts.values())
    for name in found:
        check_safetensors(folder / name, fix)
    pickles = [name for name in BINS if (folder / name).exists()]
    for name in pickles:
        read_head(folder / name, fix)
    return bool(found or pickles)


def weights_hash(folder: Path) -> str:
    """sha256 of the weights: what the predictions in a folder were made with.

    folder: with an adapter or a whole model.
    """
    bins = (folder / name for name in BINS)
    files = sorted(folder.glob("*.safetensors")) or [file for file in bins if file.is_file()]
    digest = hashlib.sha256()
    for name in files:
        with name.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def check_safetensors(file: Path, fix: str) -> None:
    """Raise UserError unless the file's header is safetensors' and its tensors are all there."""
    head = read_head(file, fix)
    # the length of safetensors' header, which is JSON, may begin like a pickle
    if head.startswith(PICKLES) and head[8:9] != b"{":
        raise UserError(f"{file}: a pickle (torch.save), not safetensors; {fix}")
    try:
        with safe_open(file, framework="pt") as opened:
            opened.keys()
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file}: cut off or not safetensors ({first_line(error)}); {fix}"
        ) from None
