import numpy as np
import pytest
from scipy import stats

from denselora.results.statistics import (
    mcnemar,
    mean_and_std,
    mean_interval,
    paired_bootstrap,
    welch,
    wilson,
)


@pytest.mark.parametrize(("correct", "n"), [(7, 10), (0, 20), (20, 20), (2043, 3270)])
def test_wilson_bounds_solve_the_score_equation(correct, n):
    # Wilson (1927): the bounds are the p at which (p_hat - p)^2 = z^2 p (1 - p) / n
    z = stats.norm.ppf(0.975)
    p_hat = correct / n
    for p in wilson(correct, n):
        assert (p_hat - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / n, abs=1e-12)


def test_mean_interval_is_the_normal_one_for_many_rows():
    accuracies, n = np.array([0.6, 0.75, 0.5]), 100_000
    intervals = [wilson(round(p * n), n) for p in accuracies]
    half = 1.959964 * np.sqrt(np.sum(accuracies * (1 - accuracies) / n)) / 3
    low, high = mean_interval(accuracies, intervals)
    assert (low, high) == pytest.approx((accuracies.mean() - half, accuracies.mean() + half), 1e-4)


def test_mean_interval_of_one_benchmark_is_its_own():
    assert mean_interval([0.7], [wilson(7, 10)]) == pytest.approx(wilson(7, 10))


@pytest.mark.parametrize("right", [False, True])
def test_mean_interval_holds_fractions_whatever_the_rounding(right):
    for n in range(1, 60):
        low, high = mean_interval([float(right)] * 8, [wilson(n * right, n)] * 8)
        assert 0 <= low <= high <= 1


def test_mean_of_all_wrong_benchmarks_is_still_uncertain():
    low, high = mean_interval([0.0, 0.0], [wilson(0, 20)] * 2)
    assert low == pytest.approx(0)
    assert 0.05 < high < wilson(0, 20)[1]


def test_mean_interval_covers_the_truth_about_as_often_as_it_says():
    generator, truth, n = np.random.default_rng(1), np.array([0.9, 0.5, 0.3, 0.62]), 40
    hits = 0
    for counts in generator.binomial(n, truth, size=(400, 4)):
        low, high = mean_interval(counts / n, [wilson(int(count), n) for count in counts])
        hits += low <= truth.mean() <= high
    assert 0.92 < hits / 400 < 0.98


def test_spread_over_seeds_is_the_sample_standard_deviation():
    assert mean_and_std([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, np.sqrt(7 / 3)))


def test_one_seed_has_no_spread():
    assert mean_and_std([3.0]) == (3.0, None)


def test_welch_is_scipys_test_without_equal_variances():
    ours, theirs = [0.52, 0.61, 0.58], [0.63, 0.64, 0.62]
    expected = stats.ttest_ind(ours, theirs, equal_var=False).pvalue
    assert welch(ours, theirs) == pytest.approx(expected)


def test_welch_of_one_seed_or_of_no_spread():
    assert welch([0.5], [0.6]) is None
    assert welch([0.5, 0.5], [0.5, 0.5]) == 1
    assert welch([0.5, 0.5], [0.6, 0.6]) == 0


def test_mcnemar_is_the_sign_test_on_rows_where_the_two_differ():
    ours = np.array([1] * 12 + [0] * 3 + [1] * 20 + [0] * 5, bool)
    theirs = np.array([0] * 12 + [1] * 3 + [1] * 20 + [0] * 5, bool)
    assert mcnemar(ours, theirs) == pytest.approx(stats.binomtest(3, 15, 0.5).pvalue)


def test_mcnemar_of_equal_outcomes_is_one():
    assert mcnemar([True, False, True], [True, False, True]) == 1


def test_paired_bootstrap_agrees_with_scipy_resampling_rows_one_by_one():
    generator = np.random.default_rng(2)
    differences = {
        name: generator.choice([-1.0, 0.0, 1.0], size=n, p=[0.1, 0.6, 0.3])
        for name, n in {"a": 80, "b": 150}.items()
    }
    scipy = stats.bootstrap(
        tuple(differences.values()),
        lambda a, b, axis: (a.mean(axis=axis) + b.mean(axis=axis)) / 2,
        n_resamples=10_000,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert paired_bootstrap(differences) == pytest.approx((scipy.low, scipy.high), abs=0.006)


def test_paired_bootstrap_is_the_same_every_time():
    differences = {"a": np.array([1.0, 0.0, -1.0, 1.0])}
    assert paired_bootstrap(differences) == paired_bootstrap(differences)
