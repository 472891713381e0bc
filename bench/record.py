"""What a measurement leaves behind: a JSON file that says on which machine, with which versions and of which commit."""

import json
import math
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from bench.measure import processor

RESULTS = Path(__file__).parent / "results"  # those that README and docs/ show
PACKAGES = ("admmirnn", "numpy", "scipy", "scikit-learn")


def machine(n_threads=1, packages=()):
    """Where, and with what, something is measured.

    Parameters
    ----------
    n_threads : int
        Of the arithmetic.
    packages : sequence of str
        Whose versions are to be known beside those of `PACKAGES`.

    Returns
    -------
    dict
    """
    versions = {}
    for package in (*PACKAGES, *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    threads = "one thread" if n_threads == 1 else f"{n_threads} threads"
    return {
        "summary": f"{processor()}, {os.cpu_count()} cores, {threads}",
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit(),
    }


def commit():
    """The commit that is checked out, with a + if files differ from it; None where there is no git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=RESULTS.parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def summary_of(of_machine):
    """One line for below a table: the machine, the versions, the commit."""
    versions = ", ".join(f"{name} {number}" for name, number in of_machine["versions"].items() if number)
    of_commit = f", commit {of_machine['commit']}" if of_machine["commit"] else ""
    return f"{of_machine['summary']}; Python {of_machine['python']}, {versions}{of_commit}"


def write_json(path, record):
    """Write a record of dicts, lists, text and numbers; what is not finite becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_plain(record), indent=1) + "\n")


def read_result(name):
    """What a command has left in `RESULTS`, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(of_key) for key, of_key in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
