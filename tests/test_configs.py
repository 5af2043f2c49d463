from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

import denselora.methods  # noqa: F401  (registers the resolver that the configs use)
from denselora.protocol import Protocol
from denselora.training.settings import Settings

CONFIGS = Path(__file__).parents[1] / "configs"


def choices(group: str) -> list[str]:
    files = (CONFIGS / group).rglob("*.yaml")
    return sorted(str(file.relative_to(CONFIGS / group).with_suffix("")) for file in files)


def composed(name: str, *overrides: str) -> dict:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return OmegaConf.to_container(compose(name, list(overrides)), resolve=True)


@pytest.mark.parametrize(
    "group, choice",
    [(g, c) for g in ("model", "adapter", "data", "protocol", "trainer") for c in choices(g)],
)
def test_every_choice_composes_and_is_named_after_its_file(group, choice):
    path = ["data.path=somewhere"] if choice == "local" else []
    config = composed("train", f"{group}={choice}", *path)[group]
    assert group == "trainer" or config["name"] == choice


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_composes_to_settings_that_the_loop_takes(experiment):
    config = composed("train", f"experiment={experiment}")
    Settings.from_config(config["trainer"])
    Protocol.from_config(config["protocol"])


@pytest.mark.parametrize("name", ["evaluate", "tables", "reproduce"])
def test_the_other_entry_points_compose(name):
    assert composed(name)


@pytest.mark.parametrize("adapter", [a for a in choices("adapter") if a not in ("none", "full")])
def test_every_adapter_config_builds_its_peft_config(adapter):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", [f"adapter={adapter}", "adapter.r=8"]).adapter
        built = instantiate(config.peft, _convert_="all")
    assert built.r == 8 and set(built.target_modules) == set(config.target_modules)


@pytest.mark.parametrize(
    "adapter, field", [("denselora", "denselora_alpha"), ("lora", "lora_alpha")]
)
def test_alpha_follows_r_unless_it_is_given(adapter, field):
    assert composed("train", f"adapter={adapter}", "adapter.r=8")["adapter"]["peft"][field] == 16
    given = composed("train", f"adapter={adapter}", "adapter.r=8", "adapter.alpha=4")
    assert given["adapter"]["peft"][field] == 4
