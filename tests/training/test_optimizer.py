import pytest
import torch

from denselora.errors import UserError
from denselora.training.optimizer import build_optimizer, check_optimizer
from tests.tiny import adapted_llama


@pytest.mark.parametrize("name", ["adamw_8bit", "paged_adamw_8bit"])
def test_an_8bit_optimizer_without_a_gpu_is_refused(name):
    with pytest.raises(UserError, match="needs a GPU"):
        check_optimizer(name, torch.device("cpu"))
    check_optimizer("adamw", torch.device("cpu"))


@pytest.mark.parametrize("option", [{}, {"core_learning_rate_ratio": 1}])
def test_without_a_ratio_there_is_one_rate(option):
    (group,) = build_optimizer(adapted_llama(), "adamw", 0.1, 0.0, option).param_groups
    assert group["lr"] == 0.1


def test_a_ratio_gives_the_cores_a_rate_of_their_own():
    optimizer = build_optimizer(
        adapted_llama(), "adamw", 0.1, 0.01, {"core_learning_rate_ratio": 0.25}
    )
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.025]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.01]
