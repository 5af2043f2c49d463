import math

import pytest

from denselora.results.metrics import METRICS, write_losses
from denselora.results.record import read_records
from denselora.results.report.losses import POINTS, thinned_losses
from tests.results.records import make_record, save, steps


def thinned(folder, losses):
    save(folder, record := make_record(metrics_file=METRICS))
    write_losses(folder / "runs" / record.run_id / METRICS, steps(losses))
    (record,) = read_records(folder)
    return thinned_losses(record)


def test_a_short_curve_is_kept_whole(tmp_path):
    curve = thinned(tmp_path, [3.0, 2.0, 1.0])
    assert curve["steps"] == [1, 2, 3] and curve["loss_nats"] == [3, 2, 1]
    assert curve["every"] == 1 and curve["validation"] == [[2, 3]]


def test_a_long_curve_has_means_over_as_many_steps(tmp_path):
    losses = [float(number) for number in range(2 * POINTS + 2)]
    curve = thinned(tmp_path, losses)
    assert curve["every"] == 3 and len(curve["steps"]) <= POINTS
    assert curve["steps"][:2] == [3, 6] and curve["loss_nats"][:2] == [1, 4]


def test_a_loss_that_is_not_finite_is_null(tmp_path):
    assert thinned(tmp_path, [1.0, math.inf])["loss_nats"] == [1, None]


def test_a_run_without_its_metrics_has_no_curve(tmp_path):
    save(tmp_path, make_record(metrics_file=METRICS), make_record("none"))
    assert [thinned_losses(record) for record in read_records(tmp_path)] == [None, None]


@pytest.mark.parametrize("length", [1, POINTS, POINTS + 1, 10 * POINTS])
def test_no_curve_has_more_points_than_a_chart_shows(tmp_path, length):
    curve = thinned(tmp_path, [1.0] * length)
    assert len(curve["steps"]) <= POINTS and curve["steps"][-1] == length
