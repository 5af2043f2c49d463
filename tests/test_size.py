"""The tracked files stay few and small enough to be sent anywhere."""

import subprocess

import pytest

from tests import ROOT

MB = 10**6


def tracked(folder="."):
    """Tracked files that are in the working tree."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [file for name in listed.stdout.split("\0") if (file := ROOT / name).is_file()]


def test_results_have_at_most_10_mb_in_900_files():
    files = tracked("results")
    assert len(files) <= 900
    assert sum(file.stat().st_size for file in files) <= 10 * MB


def test_all_tracked_files_have_at_most_25_mb():
    assert sum(file.stat().st_size for file in tracked()) <= 25 * MB
