"""Every block of Python in README, docs/ and docstrings runs as it stands, and so do the programs of the gallery."""

import doctest
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from admmirnn import metrics, model_selection, streaming, tables
from admmirnn.estimators import classifier, regressor, text
from admmirnn.forecasting import backtesting, forecaster, transformers

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "guide").glob("*.md"))]
OPTIONAL = ("torch", "onnxruntime", "mpi4py")  # those of .[test] are always there


def blocks_of(page):
    """The blocks of Python of a page, each with as many empty lines before it as make its lines those of the page."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield "\n" * text.count("\n", 0, found.start(1)) + found[1]


def name_of_script(block):
    """The name in the first line of a block that is a file of its own, or None."""
    found = re.match(r"\s*# (\w+\.py)\n", block)
    return found and found[1]


WITH_BLOCKS = [page for page in PAGES if any(blocks_of(page))]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder to write to, and no figures on a screen."""
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    yield tmp_path
    from matplotlib import pyplot

    pyplot.close("all")


def test_all_pages_are_looked_at():
    names = {str(page.relative_to(ROOT)) for page in WITH_BLOCKS}
    assert {"README.md", "docs/index.md", "docs/getting-started.md", "docs/extending.md"} <= names
    guide = {path.name for path in (ROOT / "docs" / "guide").glob("*.md")} - {"index.md"}
    assert guide == {Path(name).name for name in names if name.startswith("docs/guide/")}
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_of_a_page_run_one_after_the_other(page, elsewhere, monkeypatch):
    blocks = list(blocks_of(page))
    for package in OPTIONAL:
        if any(f"import {package}" in block or f"from {package} import" in block for block in blocks):
            pytest.importorskip(package)
    namespace = {"__name__": "__main__"}
    monkeypatch.syspath_prepend(elsewhere)
    for block in blocks:
        if name := name_of_script(block):
            (elsewhere / name).write_text(block, encoding="utf-8")
            runpy.run_path(name, run_name="__main__")
        else:
            exec(compile(block, str(page), "exec"), namespace)  # noqa: S102
    for path in elsewhere.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.slow
def test_getting_started_in_processes_of_their_own(elsewhere):
    page = ROOT / "docs" / "getting-started.md"
    scripts = {name_of_script(block): block for block in blocks_of(page)}
    commands = re.findall(r"^python (\w+\.py)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert commands == list(scripts)
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for name in commands:
        (elsewhere / name).write_text(scripts[name], encoding="utf-8")
        done = subprocess.run([sys.executable, name], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout or name == "make_readings.py"
    left = {path.name for path in elsewhere.iterdir()}
    assert {"readings.csv", "model.safetensors", "model.png", "states.png"} <= left


WITH_EXAMPLES = [
    backtesting,
    classifier,
    forecaster,
    metrics,
    model_selection,
    regressor,
    streaming,
    tables,
    text,
    transformers,
]


@pytest.mark.parametrize("module", WITH_EXAMPLES, ids=lambda module: module.__name__)
def test_docstring_examples(module):
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


def run_example(path, capsys):
    """Run a program of the gallery: it says something, and draws."""
    from matplotlib import pyplot

    runpy.run_path(str(path), run_name="__main__")
    assert pyplot.get_fignums() and capsys.readouterr().out


SLOW = {"plot_forecast_with_calendar", "plot_long_memory", "plot_mackey_glass", "plot_text"}  # more than two seconds


@pytest.mark.parametrize(
    "example",
    [pytest.param(path, marks=[pytest.mark.slow] if path.stem in SLOW else [], id=path.stem) for path in EXAMPLES],
)
def test_examples_of_the_gallery_need_no_data(example, elsewhere, monkeypatch, capsys):
    monkeypatch.delenv("ADMMIRNN_DATA", raising=False)
    run_example(example, capsys)


@pytest.mark.skipif("ADMMIRNN_DATA" not in os.environ, reason="ADMMIRNN_DATA is not set")
def test_example_with_its_data(elsewhere, capsys):
    run_example(ROOT / "docs" / "examples" / "plot_japanese_vowels.py", capsys)
