"""Write one HTML page of all results: python scripts/report.py."""

from pathlib import Path

from omegaconf import DictConfig

from denselora.command_line.entry_point import entry_point
from denselora.results.options import Report


@entry_point("report", Report)
def main(cfg: DictConfig) -> None:
    from denselora.files import check_writable
    from denselora.results.published import PUBLISHED, read_published
    from denselora.results.report.page import REPORT, write_report
    from denselora.results.run import checked_records

    folder = Path(cfg.results_dir)
    check_writable(folder, "results_dir")
    print(write_report(checked_records(folder), read_published(PUBLISHED), folder / REPORT))


if __name__ == "__main__":
    main()
