"""How far training moved each matrix: the summary behind the heat maps.

One .npz per run, small enough to keep: for each trained matrix |end - start|, in half precision and
no weights. An array's name is the matrix's letter, the layer and the module, "M.12.q_proj"; LoRA's
are A and B. Where a layer has two modules of one name, theirs tell where: "M.3.attn-c_proj".
DenseLoRA's pairs belong to no layer: "E.q_proj", "D.q_proj".
"""

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np

from denselora.errors import UserError, first_line
from denselora.files import write_bytes
from denselora.readers import read_bytes

# Longer sides are cut into so many stretches, and a cell is the mean over its stretch.
CELLS = 64
NAME = re.compile(r"[MAB]\.\d+\.[\w-]+|[ED]\.[\w-]+")


def write_change(
    path: Path, start: Mapping[str, np.ndarray], end: Mapping[str, np.ndarray]
) -> None:
    """Write |end - start| (float16 [at most 64, at most 64]) of every matrix, by its name."""
    changes = {name: np.float16(pooled(np.abs(end[name] - start[name]))) for name in end}
    packed = BytesIO()
    np.savez_compressed(packed, **changes)
    write_bytes(path, packed.getvalue())


def read_change(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_change` wrote. Raises `UserError`, naming the file, for anything else."""
    fix = "restore it, or delete it and have no figure of the change"
    content = read_bytes(path, fix)
    try:
        with np.load(BytesIO(content)) as arrays:
            changes = {name: np.float32(values) for name, values in arrays.items()}
    except Exception as error:  # numpy and zipfile have one for each kind of damage
        raise UserError(f"{path}: not a summary of change ({first_line(error)}); {fix}") from error
    for name, values in changes.items():
        if (
            not NAME.fullmatch(name)
            or values.ndim != 2
            or not values.size
            or np.isnan(values).any()
        ):
            raise UserError(f"{path}: {name} is no change of a matrix; {fix}")
    return changes


def pooled(matrix: np.ndarray) -> np.ndarray:
    """The matrix with neighbouring rows and columns averaged down to `CELLS` a side."""
    for axis in (0, 1):
        starts = np.linspace(0, matrix.shape[axis], min(CELLS, matrix.shape[axis]) + 1).astype(int)
        sums = np.add.reduceat(np.float64(matrix), starts[:-1], axis=axis)
        matrix = sums / np.expand_dims(np.diff(starts), 1 - axis)
    return np.float32(matrix)
