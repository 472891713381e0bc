"""Blocks of Python in README, docs/ and docstrings run and print what they say, and the programs of the gallery run."""

import doctest
import json
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
from bench import outputs
from bench.outputs import name_of_script

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "guide").glob("*.md"))]
OPTIONAL = ("torch", "onnxruntime", "mpi4py")  # those of .[test] are always there


def blocks_of(page):
    """The blocks of Python of a page."""
    return [block["code"] for block in outputs.BLOCK.finditer(page.read_text(encoding="utf-8"))]


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
def test_blocks_of_a_page_print_what_it_says(page, elsewhere):
    blocks = blocks_of(page)
    for package in OPTIONAL:
        if any(f"import {package}" in block or f"from {package} import" in block for block in blocks):
            pytest.importorskip(package)
    text = page.read_text(encoding="utf-8")
    found = outputs.outputs_of(text, str(page))
    assert outputs.rewritten(text, found) == text, "python -m bench.outputs writes what the blocks print"


def test_outputs_of_pages_may_differ_by_rounding_only():
    assert outputs.agree("score 0.91\n(3, 2)\n", "score  0.93\n(3, 2)\n")
    assert not outputs.agree("score 0.91\n", "score 0.5\n")
    assert not outputs.agree("(3, 2) 0.9\n", "(2, 3) 0.9\n")
    assert not outputs.agree("['up']\n", "['down']\n")
    assert outputs.agree("1 0.5\n...\n9 0.1\n", "1 0.5\n2 0.4\n9 0.1\n")
    assert not outputs.agree("1 0.5\n...\n9 0.1\n", "1 0.5\n2 0.4\n9 0.7\n")
    page = "```python\nprint(1)\n```\n\nand\n\n```python\nx = 2\n```\n\n```text\n2\n```\n"
    expected = "```python\nprint(1)\n```\n\n```text\n1\n```\n\nand\n\n```python\nx = 2\n```\n"
    assert outputs.rewritten(page, outputs.outputs_of(page, "page")) == expected


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
    [
        pytest.param(path, marks=[pytest.mark.slow] if path.stem in SLOW else [], id=path.stem)
        for path in EXAMPLES
        if path.stem != "plot_japanese_vowels"
    ],
)
def test_examples_of_the_gallery_need_no_data(example, elsewhere, monkeypatch, capsys):
    monkeypatch.delenv("ADMMIRNN_DATA", raising=False)
    run_example(example, capsys)


def test_an_example_without_its_data_says_so(elsewhere, monkeypatch, capsys):
    from matplotlib import pyplot

    monkeypatch.delenv("ADMMIRNN_DATA", raising=False)
    runpy.run_path(str(ROOT / "docs" / "examples" / "plot_japanese_vowels.py"), run_name="__main__")
    assert "ADMMIRNN_DATA is not set" in capsys.readouterr().out and not pyplot.get_fignums()


@pytest.mark.skipif("ADMMIRNN_DATA" not in os.environ, reason="ADMMIRNN_DATA is not set")
def test_example_with_its_data(elsewhere, capsys):
    run_example(ROOT / "docs" / "examples" / "plot_japanese_vowels.py", capsys)


@pytest.mark.slow
def test_notebook_runs_from_top_to_bottom(elsewhere):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # those of the last person's machine
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    drawn = [
        output for cell in notebook.cells for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})
    ]
    assert len(drawn) >= 3


def test_code_of_the_notebook_runs(elsewhere):
    cells = json.loads((ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    blocks = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    exec(compile("\n".join(blocks), "tour.ipynb", "exec"), {})  # noqa: S102
