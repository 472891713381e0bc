"""The command line, as a user runs it."""

import os
import re
import subprocess
import sys

import pytest

PYTHON = [sys.executable, "-W", "error::RuntimeWarning"]


def run(*arguments, cwd, **environment):
    return subprocess.run(
        [*PYTHON, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_demo_prints_a_table_and_draws_a_picture(tmp_path):
    done = run("-m", "admmirnn", "demo", "--epochs", "8", "--output", "digits.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^ +(\d+) +(\d\.\d{4}) +(\d\.\d{4}) +(\d\.\d{4}) +\d+\.\d+$", done.stdout, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 9))
    assert float(rows[-1][1]) < float(rows[0][1]) and float(rows[-1][3]) > 0.95
    assert "MLPClassifier" in done.stdout
    assert "8/8" in done.stderr  # the progress bar
    picture = tmp_path / "digits.png"
    assert str(picture) in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20_000


@pytest.mark.slow
def test_demo_without_matplotlib(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    done = run("-m", "admmirnn", "demo", "--epochs", "1", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "matplotlib is missing" in done.stdout
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.slow_on("arguments0")
@pytest.mark.parametrize("arguments", [[], ["nothing"]])
def test_unknown_command_says_which_there_are(tmp_path, arguments):
    done = run("-m", "admmirnn", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and "demo" in done.stderr


@pytest.mark.slow
def test_missing_kernels_say_what_to_do(tmp_path):
    hide = "import sys; sys.modules['admmirnn._kernels.forward'] = None\n"
    fit = "import numpy as np, admmirnn; admmirnn.RNNClassifier(2).fit(np.ones((4, 2, 1)), [0, 1, 0, 1])"
    done = run("-c", hide + fit, cwd=tmp_path, ADMMIRNN_BACKEND="compiled")
    assert "pip install -e ." in done.stderr and "ADMMIRNN_BACKEND=numpy" in done.stderr
    assert run("-c", hide + fit, cwd=tmp_path, ADMMIRNN_BACKEND="numpy").returncode == 0
