"""Check everything on this machine's GPU: python scripts/check_gpu.py output=FOLDER parts=[...]."""

import sys

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.speed.options import CheckGpu


@entry_point("check_gpu", CheckGpu)
def main(cfg: DictConfig) -> None:
    from denselora.speed.check.run import run

    if not run(cfg):
        sys.exit(1)


if __name__ == "__main__":
    main()
