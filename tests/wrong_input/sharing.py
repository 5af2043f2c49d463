"""What makes something to show to others: the page of all results."""

from tests.wrong_input.case import case, files

CASES = [
    case("report results_dir=page", "results_dir=page", "is a file", given=files({"page": ""})),
    case(
        "report",
        "results/runs/a/record.json",
        given=files({"results/runs/a/record.json": "{}"}),
    ),
    case("report result_dir=results", "result_dir"),
]
