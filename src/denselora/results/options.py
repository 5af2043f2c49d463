"""The options of the scripts that read results."""

from typing import Literal

from denselora.command_line.fields import AnyText, FilePath, options


@options
class Tables:
    """configs/tables.yaml says what they mean."""

    results_dir: FilePath
    trace: AnyText | None
    tracker: Literal["wandb"] | None


@options
class Report:
    """configs/report.yaml says what they mean."""

    results_dir: FilePath


@options
class MethodComparison:
    """configs/method_comparison.yaml says what they mean."""

    record: FilePath
    adapter_path: FilePath
