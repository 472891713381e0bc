"""What bench/ counts and compares, and that `pytest --benchmark` runs it and nothing else."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from admmirnn import backend
from admmirnn.datasets import mackey_glass
from admmirnn.losses import SquaredError
from bench import accept, flops, instructions, sanitize
from bench import sequences as sequence_problems
from bench.cases import OF_ALGORITHM_1, SMALL, Training, algorithm1, calls, calls_of_algorithm1
from bench.flops import Size
from bench.table import duration, table

ROOT = Path(__file__).parent.parent


def product(p, q, r):
    """Arithmetic of a (p, q) matrix times a (q, r) matrix."""
    return 2 * p * q * r


def triangle(order, rows):
    """Arithmetic of the lower triangle of A^T A, with A (rows, order)."""
    return order * (order + 1) * rows


@pytest.mark.parametrize(("first", "every"), [(0, 1), (1, 2), (0, 3), (2, 4), (3, 4)])
def test_arithmetic_is_that_of_the_products_step_by_step(first, every):
    size = Size(n=7, B=5, N=4, d=3, K=2)
    n, B, d_1, K = size.n, size.B, size.d + 1, size.K
    forward = backward = 0
    for t in range(size.N):
        forward += product(B, d_1, n)  # [x 1] [U b]^T
        backward += product(d_1, B, n)  # [x 1]^T lambda1
        if t > 0:
            forward += product(B, n, n)  # s W^T
            backward += product(n, B, n)  # lambda1^T s
            backward += product(B, n, n)  # lambda1 W, which gives that of the step before
        if t >= first and (t - first) % every == 0:
            backward += triangle(d_1, B)
            if t > 0:
                backward += triangle(n, B) + product(n, B, d_1)
    forward += product(B, n, K)  # the read-out
    backward += product(B, K, n)  # lambda3 V
    backward += product(K, B, n) + K * B  # lambda3^T [s 1]
    backward += triangle(n, B) + n * B
    backward += triangle(n, B * size.N) / every  # R
    assert flops.forward(size) == forward
    assert flops.backward(size, first, every) == pytest.approx(backward)


def test_arithmetic_of_an_iteration_is_the_mean_over_where_the_gram_matrix_starts():
    size = Size(n=7, B=5, N=10, d=3, K=2)
    assert flops.taken(size, 4) == (4, 3)  # of 50 states R takes 14 at least
    backward = np.mean([flops.backward(size, first, 4, 3) for first in range(4)])
    assert flops.iteration(size, 4) == pytest.approx(flops.forward(size) + backward + flops.solves(size))


@pytest.mark.parametrize(("n", "B", "taken"), [(128, 500, (8, 27)), (128, 125, (8, 8)), (2048, 125, (1, 1))])
def test_the_arithmetic_of_gram_matrices_is_of_as_many_states_as_a_fit_takes(n, B, taken):
    size = Size(n=n, B=B, N=28, d=28, K=10)
    assert flops.taken(size, 8) == taken
    states = size.B * sum(len(range(first, size.N, taken[0])) for first in range(taken[0])) / taken[0]
    by_hand = flops.iteration(size) - flops.forward(size) - flops.multipliers(size) - flops.products(size)
    by_hand -= flops.output_statistics(size) + flops.solves(size)
    assert by_hand == pytest.approx(size.m**2 * states + n**2 * size.rows / taken[1], rel=0.05)


def test_G_is_factorised_in_one_iteration_of_two():
    m, p = 157, 128
    assert flops.weight_step(m, p) == pytest.approx(m**3 / 6 + 2 * m**2 * p + p**3 / 3 + 2 * p**2 * m)


def test_row_mnist_takes_118_thousand_operations_a_step():
    """Forward 40, multipliers 33, L 40, G on one step of four, and R of one state of 27."""
    size = Size(n=128, B=500, N=28, d=28, K=10)
    assert flops.forward(size) / size.rows == pytest.approx(40e3, rel=0.03)
    assert flops.multipliers(size) / size.rows == pytest.approx(33e3, rel=0.05)
    assert flops.products(size) / size.rows == pytest.approx(40e3, rel=0.03)
    assert flops.iteration(size, 4) / size.rows == pytest.approx(118e3, rel=0.03)


@pytest.mark.parametrize("kernels", [backend._compiled(), backend._numpy()], ids=["compiled", "numpy"])
def test_every_kernel_can_be_called_again_and_again(kernels):
    size = Size(n=4, B=6, N=5, d=3, K=2)
    every = calls(kernels, size, "float32") | calls_of_algorithm1(kernels, size, "float32")
    for name, arguments in every.items():
        for _ in range(2):
            getattr(kernels, name.split()[0])(*arguments)
        for array in arguments:
            if isinstance(array, np.ndarray):
                assert np.isfinite(array).all(), name
    measured = {name for name in vars(backend._compiled()) if not name.startswith("_")}
    of_objects = {"batch", "work", "linear_map", "stepper"}
    of_sizes = {"backward_room", "sums_room", "counts_room", "joint_room", "sweep_room", "scratch_rows"}
    assert {name.split()[0] for name in every} == measured - of_objects - of_sizes


@pytest.mark.parametrize("solver", [None, algorithm1()], ids=["rollout", "algorithm1"])
@pytest.mark.parametrize("name", ["compiled", "numpy"])
def test_training_stands_still_between_epochs(name, solver):
    with Training(Size(n=4, B=6, N=5, d=3, K=2), "float32", 2, name, solver) as training:
        for _ in range(3):
            before = training._network.Theta.copy()
            training.epoch()
            assert not np.array_equal(training._network.Theta, before)
    assert not training._thread.is_alive()


@pytest.mark.parametrize(
    "form",
    [
        {"read_out": "mean"},
        {"read_out": "max"},
        {"every_step": True},
        {"every_step": True, "loss": SquaredError()},
        {"loss": SquaredError()},
    ],
    ids=["mean", "max", "each", "values of each", "values"],
)
def test_training_of_other_forms(form):
    size = Size(n=4, B=6, N=5, d=3, K=2)
    with Training(size, "float32", 2, **form) as training:
        before = training._network.Theta.copy()
        training.epoch()
        assert not np.array_equal(training._network.Theta, before)
    sequences, targets = training._problem
    assert len(targets) == (12 * size.N if "every_step" in form else 12)
    if "loss" in form:
        steps = sequences.observations.reshape(12, size.N, size.d)
        steps = steps if "every_step" in form else steps[:, -1]
        np.testing.assert_array_equal(targets.reshape(*steps.shape[:-1], size.K), steps[..., : size.K])


def test_costs_are_measured_in_turn(capsys):
    size = Size(n=4, B=6, N=5, d=3, K=2)
    forms = {"mean read-out": {"read_out": "mean"}, "a label at each step": {"every_step": True}}
    assert sequence_problems.costs(size, forms, n_batches=2, rounds=3) in (True, False)
    lines = capsys.readouterr().out.splitlines()
    assert [form for form, line in zip(forms, lines, strict=True) if f"{form} / plain: median" in line] == list(forms)


def test_a_forecast_is_judged_by_the_last_values():
    series = mackey_glass(400)[:, 0]
    error = sequence_problems.error_of_forecast(series, 0, n_test=100, max_epochs=5)
    assert 0 < error < np.std(series)


def test_answers_to_the_adding_problem_are_judged_on_other_sequences():
    assert 0 < sequence_problems.error_of_adding(4, 4000, 0) < 1 / 6


def test_sections_have_names_of_their_own_and_say_what_they_are():
    assert len({section.__name__ for section in accept.SECTIONS}) == len(accept.SECTIONS)
    assert all(section.__doc__ for section in accept.SECTIONS)
    assert set(sequence_problems.SECTIONS) < set(accept.SECTIONS)


def test_training_passes_on_what_went_wrong():
    training = Training(SMALL, "float32", penalty=-1.0)
    with pytest.raises(ValueError, match="penalty"):
        training.epoch()
    training = Training(OF_ALGORITHM_1, "float32", solver=algorithm1().set_params(max_iter=1))
    with pytest.raises(RuntimeError, match="ended after epoch 1"):
        for _ in range(2):
            training.epoch()


def row(variant, seconds, flops=None, dtype="float32", size="n=1"):
    return {
        "kernel": "forward", "size": size, "dtype": dtype, "variant": variant, "seconds": seconds, "flops": flops
    }  # fmt: skip


def test_table():
    limits = {"float32": 100e9, "float64": 50e9}
    rows = [
        row("compiled", 1e-3, 4e7),
        row("numpy", 2.5e-3, 4e7),
        row("2 threads", 5e-4, 4e7),
        row("compiled", 2, 5e10, "float64"),
    ]
    lines = [line.split("  ") for line in table(rows, limits)]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[2:] == [
        ["forward", "n=1 float32", "1.00 ms", "40.0", "40%", "2.50"],
        ["forward, 2 threads", "n=1 float32", "500.0 us", "80.0", "80%", "5.00"],
        ["forward", "n=1 float64", "2.00 s", "25.0", "50%"],
    ]
    assert len({len(line) for line in table(rows[:3], limits)}) == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.345, "2.35 s"), (0.5, "500.0 ms"), (1.5e-3, "1.50 ms"), (2e-7, "0.20 us")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def counts(changed=None, **versions):
    usual = {"blas": "openblas 1 Haswell", "compiler": "GCC 12", "python": "3.11", "numpy": "2.4", "scipy": "1.17"}
    return {
        "versions": usual | versions,
        "instructions": {"n=16": {"blas": 1000, "kernels": 500, "python": 200} | (changed or {})},
    }


@pytest.mark.parametrize(
    ("change", "met"),
    [
        ({}, True),
        ({"blas": 1049, "kernels": 524, "python": 209}, True),
        ({"blas": 1051}, False),
        ({"kernels": 526}, False),
        ({"python": 211}, False),
        ({"kernels": 100}, True),
    ],
)
def test_more_than_five_percent_more_instructions_are_a_regression(change, met):
    lines, found = instructions.compare(counts(), counts(change))
    assert found is met
    assert sum("REGRESSION" in line for line in lines) == (not met)
    assert sum("--update" in line for line in lines) == (change == {"kernels": 100})


@pytest.mark.parametrize(
    ("version", "part"),
    [
        ({"blas": "mkl 3"}, "blas"),
        ({"compiler": "clang 15"}, "kernels"),
        ({"python": "3.14"}, "python"),
        ({"numpy": "3.0"}, "python"),
    ],
)
def test_other_versions_are_not_compared_and_the_reason_is_given(version, part):
    lines, met = instructions.compare(counts(), counts({part: 10**6}, **version))
    ((name, value),) = version.items()
    assert met
    assert any(line.startswith(f"{part} is not compared") and name in line and value in line for line in lines)
    assert not any("nothing has been compared" in line for line in lines)
    others = {"blas", "kernels", "python"} - {part}
    for other in others:
        assert not instructions.compare(counts(), counts({other: 10**6}, **version))[1]


def test_nothing_to_compare_is_said():
    found = counts({"blas": 10**6}, blas="mkl 3", compiler="GCC 15", python="3.14")
    lines, met = instructions.compare(counts(), found)
    assert met
    assert "nothing has been compared" in lines[-1]


def test_instructions_are_counted_where_they_are_executed():
    text = """\
ob=/usr/bin/python3
fl=???
fn=call
0 10
cob=/x/admmirnn/_kernels/forward.so
cfn=forward
calls=3 0
0 5000
0 7
ob=/x/admmirnn/_kernels/forward.so
fn=forward
0 100
cob=/x/scipy.libs/libscipy_openblas-1.so
cfn=sgemm_
calls=3 0
0 4900
ob=/x/scipy.libs/libscipy_openblas-1.so
fn=sgemm_
0 4900
summary: 5017
"""
    assert instructions.by_part(text) == {"blas": 4900, "kernels": 100, "python": 17}
    with pytest.raises(RuntimeError, match="callgrind says 5018"):
        instructions.by_part(text.replace("5017", "5018"))


def test_baseline_has_all_sizes_and_parts():
    baseline = json.loads(instructions.BASELINE.read_text())
    assert set(baseline["instructions"]) == set(instructions.SIZES)
    assert all(set(parts) == set(instructions.DEPENDS_ON) for parts in baseline["instructions"].values())
    assert {name for names in instructions.DEPENDS_ON.values() for name in names} <= set(baseline["versions"])
    assert instructions.compare(baseline, baseline)[1]


def test_missing_valgrind_is_said(monkeypatch, capsys):
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["instructions"])
    assert instructions.main() == 2
    assert "valgrind is missing" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "kernels"), [("sanitize", "copy"), ("mutants", "source")])
def test_copies_have_kernels_whether_or_not_the_source_is_used_in_place(name, kernels, tmp_path, monkeypatch):
    if name == "mutants":
        pytest.importorskip("cosmic_ray")
    bench, source, copy = importlib.import_module(f"bench.{name}"), tmp_path / "source", tmp_path / "copy"
    for path in sanitize._SOURCES:
        if "." in path:
            source.mkdir(exist_ok=True)
            (source / path).touch()
        else:
            (source / path).mkdir(parents=True)
    (source / "_kernels" / "forward.pyx").touch()
    (source / "admmirnn" / "_kernels").symlink_to("../_kernels", target_is_directory=True)
    monkeypatch.setattr(bench, "ROOT", source)
    copy.mkdir()
    bench.copied(copy)
    link = copy / "admmirnn" / "_kernels"
    assert link.is_symlink()
    assert link.resolve() == tmp_path / kernels / "_kernels"
    assert (link / "forward.pyx").exists()


def pytest_here(*options):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.mark.slow
def test_tests_and_benchmarks_keep_apart():
    collected = pytest_here("--collect-only", ".").stdout.splitlines()
    assert any(line.startswith("tests/test_bench.py") for line in collected)
    assert not any(line.startswith("bench/") for line in collected)


@pytest.mark.slow
def test_benchmarks_run_when_asked_for(tmp_path):
    pytest.importorskip("pytest_benchmark")
    collected = pytest_here("--benchmark", "--collect-only").stdout.splitlines()
    assert any(line.startswith("bench/test_kernels.py") for line in collected)
    assert not any(line.startswith("tests/") for line in collected)
    path = tmp_path / "found.json"
    done = pytest_here("--benchmark", "--quick", "-k", "weight_step and n16", f"--benchmark-json={path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(line.startswith("weight_step  n=16 B=16") for line in done.stdout.splitlines())
    assert f"written to {path}" in done.stdout
    found = json.loads(path.read_text())
    assert found["machine_info"]["gemm_limit"]["float32"] > 1e9
    assert {benchmark["group"] for benchmark in found["benchmarks"]} == {f"weight_step, {SMALL}, float32"}


@pytest.mark.slow
def test_missing_plugin_is_named():
    done = pytest_here("--benchmark", "-p", "no:benchmark")
    assert done.returncode == 4
    assert 'pip install -e ".[bench]"' in done.stderr
