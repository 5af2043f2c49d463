import pytest
from accelerate import init_empty_weights
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from transformers import LlamaConfig, LlamaForCausalLM

from denselora.configs import CONFIGS, composed
from denselora.identity import run_id
from denselora.methods import attach
from denselora.models import count_parameters
from denselora.protocol import Protocol
from denselora.training.settings import Settings
from tests.configs import resolved
from tests.tiny import tiny_llama


def choices(group: str) -> list[str]:
    files = (CONFIGS / group).rglob("*.yaml")
    return sorted(str(file.relative_to(CONFIGS / group).with_suffix("")) for file in files)


@pytest.mark.parametrize(
    "group, choice",
    [(g, c) for g in ("model", "adapter", "data", "protocol", "trainer") for c in choices(g)],
)
def test_every_choice_composes_and_is_named_after_its_file(group, choice):
    path = ["data.path=somewhere"] if choice == "local" else []
    config = resolved("train", f"{group}={choice}", *path)[group]
    assert group == "trainer" or config["name"] == choice


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_run_of_every_experiment_can_run(experiment):
    """Settings that the loop takes, and a method, if any, that attaches to a tiny LLaMA."""
    if experiment == "learning_rate_search":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        whole = compose("reproduce", [f"experiment={experiment}"], return_hydra_config=True)
        swept = [f"{name}={value}" for name, value in (whole.hydra.sweeper.params or {}).items()]
        values = OverridesParser.create().parse_overrides(swept)
        if any(not value.is_discrete_sweep() for value in values if value.is_sweep_override()):
            values = []  # Optuna draws them
        (jobs,) = BasicSweeper.split_arguments(values, None)
        methods = {}
        for job in jobs:
            config = compose("train", [f"experiment={experiment}", *job])
            plain = OmegaConf.to_container(config, resolve=True)
            Settings.from_config(plain["trainer"])
            Protocol.from_config(plain["protocol"])
            methods[str(plain["adapter"])] = config.adapter
        for method in methods.values():
            if method.name == "none":
                continue
            trainable, _ = count_parameters(attach(tiny_llama(), method, steps=100))
            assert trainable > 0


@pytest.mark.parametrize(
    "name, trainable",
    [
        ("denselora_r16", 925_696), ("denselora_r32", 1_933_312), ("denselora_r64", 4_194_304),
        ("lora_r32", 56_623_104), ("dora_r32", 57_409_536), ("vera", 827_392), ("lokr", 901_120),
    ],
)  # fmt: skip
def test_table_1_trains_as_many_parameters_as_the_formula_says(name, trainable):
    """On LLaMA3-8B's shapes, without weights."""
    adapter = composed("train", [f"experiment=table1/{name}", "model=llama3_8b"]).adapter
    shapes = LlamaConfig(
        hidden_size=4096, intermediate_size=14336, num_attention_heads=32, num_key_value_heads=8,
        num_hidden_layers=32, vocab_size=128256,
    )  # fmt: skip
    with init_empty_weights():
        model = attach(LlamaForCausalLM(shapes), adapter, steps=100)
    assert count_parameters(model)[0] == trainable


@pytest.mark.parametrize(
    "row, options, named",
    [
        ("lora_r32", ["model=llama3_8b"], "llama3_8b-lora-r32-commonsense_170k-paper-s42-ba4f07e6"),
        ("dora_r16", ["model=llama2_7b"], "llama2_7b-dora-r16-commonsense_170k-paper-s42-880e5eb2"),
        (
            "denselora_r16",
            ["model=llama3_8b"],
            "llama3_8b-denselora-r16-commonsense_170k-paper-s42-926555c5",
        ),
        (
            "lora_r32",
            ["model=mini", "data=mini", "protocol=clean"],
            "mini-lora-r32-mini-clean-s42-643d53ce",
        ),
    ],
)
def test_a_row_of_table_1_keeps_its_run_ids(row, options, named):
    """So that a run that was made before is found again."""
    assert run_id(resolved("train", f"experiment=table1/{row}", *options)) == named


@pytest.mark.parametrize("name", ["evaluate", "tables", "reproduce"])
def test_the_other_entry_points_compose(name):
    assert resolved(name)


@pytest.mark.parametrize(
    "adapter, field", [("denselora", "denselora_alpha"), ("lora", "lora_alpha")]
)
def test_alpha_follows_r_unless_it_is_given(adapter, field):
    assert resolved("train", f"adapter={adapter}", "adapter.r=8")["adapter"]["peft"][field] == 16
    given = resolved("train", f"adapter={adapter}", "adapter.r=8", "adapter.alpha=4")
    assert given["adapter"]["peft"][field] == 4
