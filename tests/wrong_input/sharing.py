"""What makes something to show to others: the page of all results, an adapter on the hub."""

from tests.wrong_input.case import case, copy_of, files

CASES = [
    case("report results_dir=page", "results_dir=page", "is a file", given=files({"page": ""})),
    case(
        "report",
        "results/runs/a/record.json",
        given=files({"results/runs/a/record.json": "{}"}),
    ),
    case("report result_dir=results", "result_dir"),
    case("push repo=ann/mini", "adapter_path"),
    case("push adapter_path=<run>/adapter", "repo"),
    case("push adapter_path=nowhere repo=ann/mini", "adapter_path=nowhere", "no such folder"),
    case("push adapter_path=<run> repo=ann/mini", "adapter_path=", "no adapter_config.json"),
    case(
        "push adapter_path=run/adapter repo=ann/mini",
        "run/adapter",
        "no adapter_model.safetensors",
        given=copy_of("run", lambda run: (run / "adapter/adapter_model.safetensors").unlink()),
    ),
    case("method_comparison adapter_path=<run>/adapter", "record"),
    case("method_comparison adapter_path=<run>/adapter record=nowhere", "nowhere"),
    case("push adapter_path=<run>/adapter repo=mini", "repo=mini", "USER/NAME"),
    case("push adapter_path=<run>/adapter repo=ann/a/b", "repo=ann/a/b", "USER/NAME"),
    case("push adapter_path=<run>/adapter repo=ann/mini private=1", "private=1", "true or false"),
]
