"""How sure a number is: intervals, spread over seeds, paired tests between two runs."""

from collections.abc import Mapping, Sequence

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar as contingency_mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttest_ind

LEVEL = 0.95
RESAMPLES = 10_000

Interval = tuple[float, float]


def wilson(correct: int, n: int) -> Interval:
    """95 % Wilson interval of an accuracy, as fractions. Also right for 0 or n correct."""
    low, high = proportion_confint(correct, n, alpha=1 - LEVEL, method="wilson")
    return float(low), float(high)


def mean_interval(accuracies: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """95 % interval of the unweighted mean of independent accuracies, from their intervals.

    The distances from each accuracy to its own bounds add in quadrature (Zou and Donner 2008,
    "Construction of confidence limits about effect measures", equation 2). For large n this is
    the normal approximation; unlike it, a benchmark answered all right or all wrong still
    counts as uncertain.
    """
    p, bounds = np.asarray(accuracies), np.asarray(intervals)
    below = np.sqrt(np.sum((p - bounds[:, 0]) ** 2)) / len(p)
    above = np.sqrt(np.sum((bounds[:, 1] - p) ** 2)) / len(p)
    # where all are right or all are wrong, rounding may lead a hair outside
    return max(0.0, float(p.mean() - below)), min(1.0, float(p.mean() + above))


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1) over seeds; None for a single seed."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def welch(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Two-sided p-value of Welch's t test for two methods' means over seeds (float [seeds]); None
    for a single seed. Means of no spread at all differ for certain, or not at all.
    """
    if min(len(ours), len(theirs)) < 2:
        return None
    if not np.ptp(ours) and not np.ptp(theirs):
        return float(ours[0] == theirs[0])
    _, p, _ = ttest_ind(ours, theirs, usevar="unequal")
    return float(p)


def mcnemar(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Exact two-sided McNemar p-value for two methods' outcomes (bool [n]) on the same rows."""
    ours, theirs = np.asarray(ours, bool), np.asarray(theirs, bool)
    table = [
        [np.sum(ours & theirs), np.sum(ours & ~theirs)],
        [np.sum(~ours & theirs), np.sum(~ours & ~theirs)],
    ]
    return float(contingency_mcnemar(table, exact=True).pvalue)


def paired_bootstrap(differences: Mapping[str, np.ndarray]) -> Interval:
    """95 % percentile interval of the difference between two methods' averages.

    `differences` has for each benchmark one number per row (float [n]): our outcome minus theirs,
    or the mean of that over paired seeds. Rows are resampled within each benchmark. A row's
    difference takes few distinct values, so a resample is one draw of their counts
    (multinomial): the same distribution as drawing rows one by one, in no time. The generator is
    seeded, so that tables come out the same every time.
    """
    generator = np.random.default_rng(0)
    means = np.zeros(RESAMPLES)
    for rows in differences.values():
        values, counts = np.unique(rows, return_counts=True)
        draws = generator.multinomial(len(rows), counts / len(rows), size=RESAMPLES)
        means += draws @ values / len(rows)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means / len(differences), [tail, 1 - tail])
    return float(low), float(high)
