import pytest


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("tuned=true", "tuned=true: OptunaSweeper tries rates of its own; leave one"),
        ("trainer.validation_rows=0", "trainer.validation_rows=0: gives OptunaSweeper no valid"),
        ("trainer.max_steps=0", "trainer.max_steps=0: gives OptunaSweeper no validation loss"),
        ("seed=42,43", "seed=42,43: OptunaSweeper takes one value; run it for each"),
    ],
)
def test_what_a_search_has_no_use_for_is_refused_before_its_first_run(script, option, told):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    options = ("experiment=learning_rate_search", "model=mini", "data=mini", "evaluation=null")
    code, _, err = script("reproduce", *options, option)
    assert (code, err.strip()[: len(told) + 7]) == (2, f"error: {told}")
