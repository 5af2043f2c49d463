"""Score adapters or the plain base: python scripts/evaluate.py adapter_path=runs/NAME/adapter."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.evaluation.options import Evaluate


@entry_point("evaluate", Evaluate)
def main(cfg: DictConfig) -> None:
    from denselora.errors import UserError
    from denselora.evaluation.run import evaluate
    from denselora.evaluation.show import print_counts
    from denselora.results.tables import print_table

    records, failures = evaluate(cfg, list(HydraConfig.get().overrides.task))
    for record in records:
        print_counts(record.run_id, record.benchmarks)
    if records:
        print_table(records)
    if failures:
        done = ". What else was asked for is done" if records else ""
        raise UserError("; ".join(failures) + done)


if __name__ == "__main__":
    main()
