import pytest

from denselora.command_line.groups import Adapter, Data
from denselora.command_line.options import checked
from denselora.errors import UserError
from tests.configs import resolved


@pytest.mark.parametrize(
    ("size", "named"),
    [
        ({"fraction": 0.1, "n_train": 3}, "both set"),
        ({"fraction": 0.0}, "data.fraction=0.0"),
        ({"fraction": 1.5}, "data.fraction=1.5"),
        ({"fraction": "half"}, "data.fraction=half"),
        ({"n_train": 1.5}, "data.n_train=1.5"),
        ({"n_train": 0}, "data.n_train=0: give a whole number above 0, or null"),
    ],
)
def test_a_size_of_the_training_data_that_cannot_be_is_named(size, named):
    data = resolved("train")["data"] | {"n_train": None}
    with pytest.raises(UserError, match=named):
        checked(Data, data | size, "data")


def test_an_adapter_of_a_users_own_may_have_options_that_no_other_has():
    own = {"name": "own", "label": "Own", "layers": 3, "peft": {"_target_": "peft.OFTConfig"}}
    assert checked(Adapter, own, "adapter").name == "own"


def test_an_adapter_without_the_call_that_makes_it_is_refused():
    with pytest.raises(UserError, match=r"adapter=own: its file has no peft._target_"):
        checked(Adapter, {"name": "own", "label": "Own"}, "adapter")
