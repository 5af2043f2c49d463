"""A record as PEFT's method comparison has it: python scripts/method_comparison.py."""

import json
from pathlib import Path

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.results.options import MethodComparison


@entry_point("method_comparison", MethodComparison)
def main(cfg: DictConfig) -> None:
    from denselora.results.method_comparison import comparison_result
    from denselora.results.record import read_record

    result = comparison_result(read_record(cfg.record), Path(cfg.adapter_path))
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
