import pytest
import torch

from denselora.errors import UserError
from denselora.training.optimizer import check_optimizer


@pytest.mark.parametrize("name", ["adamw_8bit", "paged_adamw_8bit"])
def test_an_8bit_optimizer_without_a_gpu_is_refused(name):
    with pytest.raises(UserError, match="needs a GPU"):
        check_optimizer(name, torch.device("cpu"))
    check_optimizer("adamw", torch.device("cpu"))
