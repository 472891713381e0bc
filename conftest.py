"""``pytest --benchmark``: run what is in bench/, which needs pytest-benchmark, instead of the tests.

The whole of the tests runs in a process for each core, if pytest-xdist is there; files that are named run in one.
"""

import os
from datetime import datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
BENCH = ROOT / "bench"
RESULTS = ROOT / ".benchmarks"


def pytest_addoption(parser):
    """Add the two options, which pytest-benchmark does not have."""
    group = parser.getgroup("admmirnn")
    group.addoption("--benchmark", action="store_true", help="run the benchmarks in bench/ instead of the tests")
    group.addoption("--quick", action="store_true", help="with --benchmark: fewer sizes and rounds, under a minute")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at its own options
def pytest_cmdline_main(config):
    """Run the whole of the tests in several processes, unless another number was asked for."""
    option = config.option
    if not config.pluginmanager.hasplugin("xdist") or option.numprocesses is not None or option.tx:
        return
    is_stepwise = getattr(option, "stepwise", False)  # there is none with -p no:cacheprovider
    is_watched = option.usepdb or option.trace or option.capture == "no" or is_stepwise
    is_worker = "PYTEST_XDIST_WORKER" in os.environ  # or what its tests start
    if option.benchmark or option.collectonly or option.file_or_dir or is_watched or is_worker:
        return
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n_cores > 1:
        option.numprocesses = min(n_cores, 8)
        option.dist = "worksteal" if option.dist == "no" else option.dist


def pytest_configure(config):
    """Point pytest to bench/, and set what pytest-benchmark would otherwise be told by options of its own."""
    if not config.option.benchmark:
        return
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError('--benchmark needs pytest-benchmark: pip install -e ".[bench]"')
    if not config.option.file_or_dir:
        config.args = [str(BENCH)]
    # such as that nothing has been selected
    config.addinivalue_line("filterwarnings", "default::pytest_benchmark.logger.PytestBenchmarkWarning")
    # this runs before pytest-benchmark reads its own options
    config.option.benchmark_quiet = True  # bench/conftest.py has a table of its own
    config.option.benchmark_disable_gc = True
    config.option.benchmark_timer = "time.process_time"  # other processes on the same core do not add to it
    config.option.benchmark_max_time = 0.02 if config.option.quick else 0.5
    config.option.benchmark_min_rounds = 3 if config.option.quick else 7
    if not config.option.collectonly and not config.option.benchmark_json:
        RESULTS.mkdir(exist_ok=True)
        config.option.benchmark_json = str(RESULTS / f"{datetime.now():%Y-%m-%d-%H%M%S}.json")


def pytest_ignore_collect(collection_path, config):
    """Whatever paths are given, benchmarks run with ``--benchmark`` only."""
    if not config.option.benchmark and collection_path.is_relative_to(BENCH):
        return True
    return None
