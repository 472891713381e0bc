"""What bench/paper says about the paper's tables, on images and text that mean nothing."""

import sys

import numpy as np
import pytest

from bench.paper import __main__ as paper_main
from bench.paper import common, released
from bench.paper import tables as paper_tables
from bench.paper import text as paper_text


def random_images(n, rng, side=7):
    """Images of noise, with labels that have nothing to do with them."""
    return rng.random_sample((n, side, side)), rng.randint(0, 10, n)


@pytest.fixture
def noise():
    rng = np.random.RandomState(0)
    return {"train": random_images(200, rng), "test": random_images(300, rng)}


def pixels(images):
    return images.reshape(len(images), -1)


@pytest.mark.parametrize(("found", "published", "digits"), [
    (3.7761e-4, "3.776e-4", 4), (3.7764e-4, "3.776e-4", 4), (3.7766e-4, "3.776e-4", 3), (0.99865, "0.9984", 2),
    (5.3384e-2, "5.34e-2", 3), (5.474e-2, "5.34e-2", 1), (0.11, "0.9984", 0),
])  # fmt: skip
def test_agreeing_digits(found, published, digits):
    assert released.agreeing_digits(found, published) == digits


@pytest.mark.parametrize(("after_19", "after_20", "said"), [
    (5.3384e-2, 5.0452e-2, "4 digits (+0.00 % at 20)"), (0.0504, 0.0476, "2 digits (-0.10 % at 19)"),
    (np.nan, 0.05, "-"),
])  # fmt: skip
def test_the_nearer_iteration_is_compared(after_19, after_20, said):
    assert released.agreement(after_19, after_20, "5.045e-2") == said
    assert released.agreement(after_19, after_20, None) == "-"


@pytest.mark.parametrize(("rho3", "published"), [(0.1, 3.776e-4), (10.0, 0.9984)])
def test_the_o_steps_alone_give_the_published_losses(backend_name, rho3, published):
    losses = released.o_steps_alone(rho3, 19)
    assert losses[0] == pytest.approx(np.log(10))
    assert losses[19] == pytest.approx(published, rel=1e-4)  # all four digits that are printed


def test_the_o_steps_alone_are_gradient_steps_on_o(backend_name):
    o = np.zeros(10)
    for loss in released.o_steps_alone(1.0, 20):
        p = np.exp(o) / np.exp(o).sum()
        assert loss == pytest.approx(-np.log(p[0]), rel=1e-12)
        p[0] -= 1
        o -= p


def test_two_o_steps_with_a_bias_for_each_image_give_the_published_range():
    losses = released.without_network(np.zeros((10, 10)), np.arange(10), 1.0, 20)
    assert [f"{losses[k]:.2e}" for k in (19, 20)] == ["5.34e-02", "5.05e-02"]


def test_the_released_scheme_gives_the_published_range_on_noise(noise):
    (X, y), rng = noise["train"], np.random.RandomState(1)
    _, found = released.run_released(pixels(X), y, released.Setting(), rng, n_hidden=16)
    assert [found["losses"][k] for k in (19, 20)] == pytest.approx([5.34e-2, 5.05e-2], rel=3e-3)
    assert found["independent"] == 20 and found["logged"] < 1e-3


@pytest.mark.parametrize("setting", [released.Setting(), released.Setting(rho1=0.1), released.Setting(rho3=10.0)])
def test_in_the_released_scheme_outputs_do_not_depend_on_the_network(noise, setting):
    X, y = noise["train"]
    scheme = released.ReleasedScheme(pixels(X), y, setting, np.random.RandomState(0), n_hidden=8)
    for _ in range(3):
        scheme.iterate()
    scheme.V[:], scheme.s[:] = np.random.RandomState(2).standard_normal((10, 8)), 0.3
    scheme._c()
    assert np.allclose(scheme.q, scheme.o - scheme.lambda3 / setting.rho3, rtol=0, atol=1e-12)


def test_the_label_leaks_in_the_released_scheme_and_only_there(noise):
    (X, y), (X_new, y_new) = noise["train"], noise["test"]
    scheme, found = released.run_released(pixels(X), y, released.Setting(), np.random.RandomState(0), n_hidden=16)
    assert released.first_perfect(found["accuracies"]) == 1 and set(found["accuracies"][1:]) == {1.0}
    for images, labels in ((X, y), (X_new, y_new)):
        loss, accuracy = common.loss_and_accuracy(scheme.roll_out(pixels(images)), labels)
        assert loss > 2.2 and accuracy < 0.25


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    rng = np.random.RandomState(0)
    data = {"train": random_images(40, rng, side=4), "test": random_images(200, rng, side=4)}
    output = tmp_path_factory.mktemp("tables")
    sizes = paper_tables.Sizes(30, 20, 10, 200, n_hidden=8, n_seeds=2, long_fit=2)
    return output, *paper_tables.tables(data, sizes, 0, output)


@pytest.mark.slow
def test_tables_draw_a_picture(tables):
    pytest.importorskip("matplotlib")
    picture = tables[0] / "admmirnn-paper-tables.png"
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20_000


@pytest.mark.slow
def test_auxiliary_accuracy_is_perfect_on_labels_that_cannot_be_learnt(tables):
    *_, ours = tables
    fit = next(fit for fit in ours if fit.signs == "printed" and fit.n_iterations == 5)
    for run in ours[fit]:
        assert run["history"][-1]["auxiliary_accuracy"] == 1 and run["history"][-1]["auxiliary_loss"] < 1e-3
        assert run["test_auxiliary"][-1][1] == 1  # with the labels of the test images
        assert run["test_rollout"][-1][1] < 0.25  # without


def test_every_setting_has_a_row_in_every_table(tables):
    _, alone, rows, ours = tables
    assert set(alone) == {0.1, 1.0, 10.0} and len(rows) == len(set(released.SETTINGS)) == 10
    for runs in (*rows.values(), *ours.values()):
        assert len(runs) == 2
    assert {fit.setting for fit in ours} == set(released.SETTINGS)
    assert all(run["perfect"] == (1, 1) for setting in released.SETTINGS if setting.rho3 < 10 for run in rows[setting])


SENTENCES = "the cat sat on the mat. a dog ran to the man, and the man sat. " * 30


def test_the_released_text_scheme_leaves_nothing_but_the_output_bias():
    symbols, codes = np.unique(list(SENTENCES), return_inverse=True)
    network, records = paper_text.train_on_text(
        paper_text.RELEASED_TEXT, codes[:1500], codes[1500:], len(symbols), 60, 30, seed=0, n_hidden=12
    )
    for name in "UWV":
        assert np.abs(network.weights[name]).max() < 1e-12
    assert np.abs(network.weights["c"]).max() > 0.1
    assert [iteration for iteration, *_ in records] == [0, 30, 60]
    assert records[-1][1] > paper_text.entropy(codes[1501:]) - 0.05  # a bias does no better than one answer


def test_text_command_compares_schemes_and_draws_a_picture(tmp_path, capsys):
    sizes = paper_text.TextSizes(90, 30, 10, 12, (1.0,), (3.0,), (1,))
    runs, defaults = paper_text.text(SENTENCES, sizes, 0, tmp_path)
    printed = capsys.readouterr().out
    by_label = {scheme.label: records for scheme, _, records in runs}
    level = float(printed.split("Always the same answer: ")[1][:5])
    assert by_label[paper_text.RELEASED_TEXT.label][-1][1] > level
    assert by_label["derived signs, chosen parameters"][-1][1] < level - 0.3
    assert defaults[1][0] < level - 0.1
    assert by_label["derived signs, their parameters, not divided"][-1][1] == np.inf
    if "no picture" not in printed:
        assert (tmp_path / "admmirnn-paper-text.png").read_bytes().startswith(b"\x89PNG")


def test_the_state_is_carried_from_chunk_to_chunk():
    symbols, codes = np.unique(list(SENTENCES[:200]), return_inverse=True)
    network = paper_text.new_character_network(len(symbols), 8, "orthogonal", 0)
    trainer = paper_text.CharacterTrainer(network, paper_text.RELEASED_TEXT, length=10)
    first, state = trainer.read(codes[:11], 0.0)
    second, _ = trainer.read(codes[10:21], state)
    whole = paper_text.nats_per_character(network, codes[:21])
    assert (first + second) / 2 == pytest.approx(whole, rel=1e-12)


def test_without_matplotlib_there_is_no_picture(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert common.new_figure(1, 1) is None
    assert "matplotlib is missing" in capsys.readouterr().out


def test_missing_data_say_which_variable_to_set(monkeypatch):
    monkeypatch.delenv("ADMMIRNN_DATA", raising=False)
    for what in ("tables", "text"):
        monkeypatch.setattr(sys, "argv", ["paper", what])
        with pytest.raises(SystemExit, match="ADMMIRNN_DATA"):
            paper_main.main()
