"""Ask a model: python scripts/ask.py adapter_path=runs/NAME/adapter, then type, or pipe a file."""

import sys

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.evaluation.options import Ask


@entry_point("ask", Ask)
def main(cfg: DictConfig) -> None:
    from denselora.evaluation.ask import ask, read_questions
    from denselora.evaluation.respondent import load_respondent
    from denselora.evaluation.show import print_answer

    with load_respondent(cfg, list(HydraConfig.get().overrides.task)) as (_, respondent):
        if sys.stdin.isatty():
            print("A question per line, \\n for a line break; end with Ctrl-D.", flush=True)
        for row in read_questions(sys.stdin.buffer):
            print_answer(ask(respondent, row, cfg.options))


if __name__ == "__main__":
    main()
