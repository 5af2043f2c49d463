"""Options: their types and ranges, names that don't exist, what a shell leaves of them."""

from tests.wrong_input.case import case

CASES = [
    case("train trainer.steps=3", "trainer.steps"),
    case("train adapter=none", "adapter=none", "nothing to train"),
    case("train tracker=paper", "tracker=paper", "wandb, tensorboard"),
    case("evaluate 'tasks=[boolq,squad]'", "'squad'"),
]
