"""An adapter is scored on the base that it was trained on, quantised or not."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from denselora.command_line.configs import composed
from denselora.errors import UserError
from denselora.evaluation.ask import ask
from denselora.evaluation.respondent import load_respondent
from denselora.models import fingerprint, load_base
from denselora.results.blocks import build_blocks
from denselora.results.record import read_record
from denselora.results.tables import measured_sheets
from denselora.training.run_folder import write_trained
from tests.evaluation.calls import evaluate
from tests.evaluation.models import make_adapter
from tests.tiny import denselora_config
from tests.training.trained import make_trained

pytest.importorskip("bitsandbytes")


@pytest.fixture(scope="module")
def where(base_folder, rows_folder):
    """Options that name the base and the rows."""
    return [f"model.path={base_folder}", "data=local", f"data.path={rows_folder}"]


@pytest.fixture(scope="module")
def adapter(where, base_folder, tmp_path_factory):
    """An adapter that was trained on the base in int8."""
    folder = tmp_path_factory.mktemp("run") / "adapter"
    make_adapter(base_folder, folder, denselora_config(init_weights=False))
    cfg = composed("train", [*where, "quantization=int8"])
    trained = make_trained(OmegaConf.to_container(cfg, resolve=True))
    trained.base.update(fingerprint(load_base(str(base_folder), torch.float32)))
    write_trained(folder, trained)
    return folder


def log_likelihoods(folder):
    rows = [json.loads(line) for line in (folder / "boolq.jsonl").open()]
    return [row["log_likelihood_nats"] for row in rows]


@pytest.fixture(scope="module")
def scored(adapter, base_folder, tmp_path_factory):
    """BoolQ by choice on a named base: record and log-likelihoods."""

    def score(*options):
        out = tmp_path_factory.mktemp("out")
        options = ["tasks=[boolq]", "scoring=choice", f"adapter_path={adapter}", *options]
        (_,), failures = evaluate(*options, f"output_dir={out}")
        assert not failures
        return read_record(out / "record.json"), log_likelihoods(out)

    return score


def test_evaluation_takes_the_trainings_quantization_unless_named(scored):
    followed, nats = scored()
    named, same = scored("quantization=int8")
    plain, others = scored("quantization=null")
    assert nats == same != others
    assert followed.run_id == named.run_id and plain.run_id == named.run_id.replace(
        "-choice", "-unquantised-choice"
    )
    assert [one.evaluation.quantization for one in (followed, named, plain)] == [
        "int8",
        "int8",
        None,
    ]


def test_tables_keep_quantised_and_other_bases_apart(scored):
    records = [scored()[0], scored("quantization=null")[0]]
    sheets = [sheet for block in build_blocks(records) for sheet in measured_sheets(block)]
    assert sorted("int8 base" in sheet.title for sheet in sheets) == [False, True]
    assert sum("on a base in int8" in sheet.statement for sheet in sheets) == 1


def test_questions_are_asked_of_the_trainings_quantization(adapter):
    row = {"instruction": "Is it so? Answer format: true/false", "input": ""}
    answers = {}
    for named in ([], ["quantization=int8"], ["quantization=null"]):
        options = [f"adapter_path={adapter}", *named]
        with load_respondent(composed("ask", options), options) as (_, respondent):
            answers[str(named)] = ask(respondent, row).probabilities
    followed, same, plain = answers.values()
    assert followed == same != plain


def test_an_evaluation_is_not_continued_on_another_quantization(where, tmp_path):
    options = [*where, "tasks=[boolq]", "limit=2", "scoring=choice", f"output_dir={tmp_path}/out"]
    evaluate(*options)
    with pytest.raises(UserError, match=r"another evaluation \(differs in quantization\)"):
        evaluate(*options, "quantization=int8")
    with pytest.raises(UserError, match="quantization=int3: use one of nf4, int8"):
        evaluate(*options, "quantization=int3")
