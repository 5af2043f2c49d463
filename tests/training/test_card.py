import dataclasses

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load
from omegaconf import OmegaConf

from denselora.command_line.configs import composed
from denselora.results.record import read_records
from denselora.training.card import add_results, model_card, results_of, write_card
from tests import ROOT
from tests.results.records import make_record
from tests.training.trained import make_trained


def trained(*options):
    """What a run with these options would leave."""
    one = make_trained(OmegaConf.to_container(composed("train", options), resolve=True))
    adapter = one.config["adapter"]
    method = dataclasses.replace(one.method, name=adapter["name"], label=adapter["label"])
    return dataclasses.replace(one, method=method)


@pytest.fixture
def record():
    name = "mini-denselora-r16-mini-clean-s42-9d403b26"
    return next(one for one in read_records(ROOT / "results") if one.run_id == name)


@pytest.mark.parametrize(
    "adapter", sorted(file.stem for file in (ROOT / "configs/adapter").glob("*.yaml"))
)
def test_every_method_has_a_card_that_the_hub_reads(adapter, tmp_path, record):
    if adapter == "none":
        pytest.skip("nothing is trained")
    one = trained(f"adapter={adapter}")
    write_card(tmp_path, one)
    assert metadata_load(tmp_path / "README.md")["pipeline_tag"] == "text-generation"
    card = ModelCard(model_card(one, results_of(record, one)))
    assert card.data.library_name == ("transformers" if adapter == "full" else "peft")
    assert [one.metric_value for one in card.data.eval_results] == [
        one.metric_value for one in results_of(record, one)
    ]
    assert "More Information Needed" not in card.text


def test_the_card_names_base_equation_command_protocol_data_and_licence():
    one = trained("adapter=denselora", "seed=7", "trainer.learning_rate=0.002")
    text = model_card(one)
    for words in (
        "y = W0 x + (α / r) · f(D M g(E x))",
        "python scripts/train.py model=mini data=mini protocol=clean adapter=denselora",
        "trainer.learning_rate=0.002 seed=7",
        f"hash {one.protocol.hash}",
        "Base: data/mini/base",
        "license: apache-2.0",
        "can't be merged into the base",
        "@inproceedings",
    ):
        assert words in text, words


def test_an_adapter_without_an_activation_is_said_to_be_a_lora():
    text = model_card(trained("adapter=denselora", "adapter.activation=identity"))
    assert "to_lora" in text and "can't be merged" not in text


def test_a_base_on_the_hub_is_in_the_metadata_and_a_folder_is_not():
    options = ("model=llama3_8b", "data=commonsense_170k", "protocol=paper")
    data = ModelCard(model_card(trained(*options))).data
    assert (data.base_model, data.license) == ("meta-llama/Meta-Llama-3-8B", "llama3")
    assert ModelCard(model_card(trained())).data.base_model is None


def test_an_evaluation_puts_its_numbers_into_the_card_and_another_adds_to_them(tmp_path, record):
    one = trained()
    write_card(tmp_path, one)
    add_results(tmp_path, one, record)
    text = (tmp_path / "README.md").read_text()
    assert ModelCard(text).data.eval_results == results_of(record, one)
    (index,) = yaml.safe_load(text.split("---\n")[1])["model-index"]
    names = [result["dataset"]["name"] for result in index["results"]]
    assert names[0] == "BoolQ (mini)" and names[-1] == "average (mini)"

    add_results(tmp_path, one, record)  # the same again
    assert (tmp_path / "README.md").read_text() == text
    choice = dataclasses.replace(
        record, evaluation=dataclasses.replace(record.evaluation, scoring="choice")
    )
    add_results(tmp_path, one, choice)
    lines = (tmp_path / "README.md").read_text().splitlines()
    (line,) = [line for line in lines if "PIQA (mini) |" in line]
    assert len(line.split("|")) == 5


def test_results_of_another_protocol_or_data_stand_beside_the_others(tmp_path, record):
    one = dataclasses.replace(trained(), protocol=record.protocol)
    write_card(tmp_path, one)
    add_results(tmp_path, one, record)
    protocol = dataclasses.replace(record.protocol, name="paper", hash="0123456789ab")
    data = dataclasses.replace(record.data, name="others", label="others")
    for other in (
        dataclasses.replace(record, protocol=protocol),
        dataclasses.replace(record, data=data),
    ):
        add_results(tmp_path, one, other)
    results = ModelCard((tmp_path / "README.md").read_text()).data.eval_results
    kinds = {(result.metric_name, result.dataset_type) for result in results}
    assert kinds == {
        ("accuracy in percent (generate)", "mini"),
        ("accuracy in percent (generate, protocol paper 0123456789ab)", "mini"),
        ("accuracy in percent (generate)", "others"),
    }
    assert len(results) == 3 * 9


def test_data_of_one_label_have_a_line_each(tmp_path, record):
    one = dataclasses.replace(trained(), protocol=record.protocol)
    write_card(tmp_path, one)
    for name in (record.data.name, "others"):
        data = dataclasses.replace(record.data, name=name)
        add_results(tmp_path, one, dataclasses.replace(record, data=data))
    card = (tmp_path / "README.md").read_text()
    assert "| PIQA (mini), mini |" in card and "| PIQA (mini), others |" in card


def test_part_of_the_rows_is_no_result(tmp_path):
    one = trained()
    write_card(tmp_path, one)
    add_results(tmp_path, one, make_record(limit=20))
    assert "Not evaluated yet" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    "text", ["# mine\n", "---\nlicense: mit\n---\n# mine\n", "---\n: [\n---\n"]
)
def test_a_card_that_somebody_wrote_stays(tmp_path, record, text):
    (tmp_path / "README.md").write_text(text)
    add_results(tmp_path, trained(), record)
    assert (tmp_path / "README.md").read_text() == text


def test_what_a_config_says_is_text_in_the_card(record):
    one = trained("data.label='[x](y) <b>'", "model.label='*b*'")
    text = model_card(one, results_of(record, one)).partition("\n---\n")[2]
    assert r"[x\](y) \<b>" in text and "# DenseLoRA r=16 on \\*b\\*\n" in text
