"""These tests start a cluster on this machine: `make test-slurm` and `make test-ray` run them."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for engine in ("slurm", "ray"):
        if config.option.markexpr != engine:
            skip = pytest.mark.skip(reason=f"starts a cluster: make test-{engine}")
            for item in items:
                if item.get_closest_marker(engine):
                    item.add_marker(skip)
