"""The launch configs are ones that Accelerate reads."""

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

from denselora.command_line.configs import CONFIGS


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ddp", DistributedType.MULTI_GPU),
        ("fsdp2", DistributedType.FSDP),
    ],
)
def test_launch_config_is_read(name, kind):
    config = load_config_from_file(str(CONFIGS / f"launch/{name}.yaml"))
    assert config.distributed_type == kind
    if name == "fsdp2":
        assert config.fsdp_config["fsdp_version"] == 2
