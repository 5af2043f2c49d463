"""docs/study.md: adapters of a small pretrained LLaMA, from learning-rate grids to tables."""

from collections.abc import Iterator, Sequence

from denselora.command_line.overrides import option_name, readable
from denselora.reproduce.options import Reproduce
from denselora.reproduce.script import run_script

MODEL = "model=smollm2_135m"
SETTING = (
    "protocol=clean",
    *("trainer.epochs=3", "trainer.validation_rows=240"),
    *("trainer.eval_steps=250", "trainer.save_steps=250"),
)
# as many rows as the plan's beside those of validation, in turn of each kind, of the public file
DATA = ("data=commonsense_170k", "data.n_train=28000", "data.balanced=true")
ADAPTER_RATES, FULL_RATES = "2e-4,5e-4,1e-3,2e-3", "1e-5,3e-5,1e-4,3e-4"
# methods, rates and seeds; the most important first
PARTS = (
    ("experiment=table1/lora_r32,table1/denselora_r16", ADAPTER_RATES, "42,43,44"),
    ("adapter=lora adapter.r=1", ADAPTER_RATES, "42"),
    ("adapter=denselora adapter.r=64", ADAPTER_RATES, "42"),
    ("adapter=full", FULL_RATES, "42"),
)


def study(options: Sequence[str]) -> None:
    """Run all of it. options: further ones of reproduce.py. What is done is skipped, what was
    stopped goes on. Raises UserError for a step that failed."""
    readable([MODEL, *options], Reproduce, several=True)  # before the work begins
    for call in calls(options):
        run_script("reproduce.py", *call)


def calls(options: Sequence[str]) -> Iterator[list[str]]:
    """The options of each call of reproduce.py, in order: the base's, then for each part of the
    plan its grid, its seeds at the best rate, and the same answers once more as text, after which
    there are tables."""
    own_data = "data" in map(option_name, options)
    common = [MODEL, *SETTING, *(() if own_data else DATA), *options]
    training = [option for option in common if not option.startswith("evaluation.")]
    text = "evaluation.scoring=generate"
    choice = ("evaluation.scoring=choice", "hydra.callbacks.plan.tables=false")
    yield ["adapter=none", *common, *choice]
    for methods, rates, seeds in PARTS:
        yield [*methods.split(), *training, f"trainer.learning_rate={rates}", "evaluation=null"]
        seeded = [*methods.split(), *common, f"seed={seeds}", "tuned=true"]
        yield [*seeded, *choice]
        yield [*seeded, text]
