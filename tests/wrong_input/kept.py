"""What runs, evaluations and results have kept: notes, records and the files beside them."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests import ROOT
from tests.wrong_input.case import Given, case, files
from tests.wrong_input.spoil import (
    LFS,
    a_list,
    cut,
    folder,
    nonsense,
    pickle,
    pipe,
    pointer,
    spoilt,
)

# a run whose results have every kind of file
RUN = "mini-denselora-r16-mini-clean-s42-9d403b26"


def published(name: str, how: Callable[[Path], object]) -> Given:
    """The results of one run with a spoilt file."""

    def give(here: Path, _: Mapping[str, Path]) -> None:
        run = here / "results/runs" / RUN
        shutil.copytree(ROOT / "results/runs" / RUN, run)
        how(run / name)

    return give


def other_columns(file: Path) -> None:
    pq.write_table(pa.table({"id": [1]}), file)


def other_arrays(file: Path) -> None:
    np.savez(file, **{"M.x.q_proj": np.ones((2, 2))})


CASES = [
    case("status nowhere", "nowhere: no such folder"),
    case("tables results_dir=nowhere", "results_dir=nowhere: no such folder"),
    case("report results_dir=nowhere", "results_dir=nowhere: no such folder"),
    *(
        case("status runs", "runs/a.json", "delete the file", given=files({"runs/a.json": content}))
        for content in (  # an empty note is that of a run about to begin
            "{",
            "[]",
            "{}",
            '{"options": 3, "state": "done", "reason": ""}',
            LFS,
            "{}".encode("utf-16"),
        )
    ),
    *(
        case(
            "evaluate",
            "output/evaluation.json",
            "delete the folder",
            given=files({"output/evaluation.json": content}),
        )
        for content in ("", "{", "[]", '{"tests": []}', b'{"a": "\xe9"}', LFS)
    ),
    *(
        case(
            "tables",
            "results/runs/a/record.json",
            "restore it",
            given=files({"results/runs/a/record.json": content}),
        )
        for content in ("", "{", "[]", "{}", b'{"a": "\xe9"}', LFS, "{}".encode("utf-16"))
    ),
    *(
        case("tables", f"results/runs/{RUN}/{name}", says, given=published(name, how))
        for name, how, says in (
            ("predictions.parquet", cut, "damaged or not Parquet"),
            ("predictions.parquet", nonsense, "damaged or not Parquet"),
            ("predictions.parquet", pointer, "git lfs pull"),
            ("predictions.parquet", pickle, "damaged or not Parquet"),
            ("predictions.parquet", other_columns, "lacks the columns"),
            ("metrics.parquet", cut, "damaged or not Parquet"),
            ("change.npz", cut, "not a summary of change"),
            ("change.npz", nonsense, "not a summary of change"),
            ("change.npz", pointer, "git lfs pull"),
            ("change.npz", other_arrays, "no change of a matrix"),
        )
    ),
    case("train tracker=wandb", "tracker=wandb: ", WANDB_MODE="online", HOME="/nowhere"),
    case(
        "tables results_dir=results tracker=wandb",
        "tracker=wandb: ",
        given=published("record.json", lambda _: None),
        WANDB_MODE="online",
        HOME="/nowhere",
    ),
    *(
        case(
            "evaluate adapter_path=run/adapter", f"run/{name}", says, given=spoilt("run", name, how)
        )
        for name, how, says in (
            ("metrics.jsonl", nonsense, "line 1 is malformed"),
            ("metrics.jsonl", a_list, "line 1 is malformed"),
            ("metrics.jsonl", folder, "a folder"),
            ("change.npz", cut, "not a summary of change"),
            ("change.npz", pipe, "a pipe"),
        )
    ),
]
