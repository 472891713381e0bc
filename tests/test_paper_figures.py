"""Figures 2 to 6: that trainings measure what they say, that claims are judged rightly, and (slow) the claims."""

import json
import math
import os
import re
import sys
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from admmirnn import Algorithm1, Rollout
from admmirnn.data.sequences import Sequences
from admmirnn.networks import ElmanRNN
from bench.paper import __main__ as paper_main
from bench.paper import claims, problems, report
from bench.paper.common import LOSS, loss_and_accuracy
from bench.paper.figures import DEFAULT, FIGURES, QUICK, Sizes, averaged, figure_5, figure_6
from bench.paper.jobs import ALGORITHM_1, ROLLOUT, Run, Runner, Training, changed_rollout, continued
from bench.paper.plots import DRAWINGS
from bench.paper.problems import Images, Losses, Text, after_o_step

SENTENCES = "the cat sat on the mat. a dog ran to the man, and the man sat. " * 200
N_PROCESSES = 2
TINY_IMAGES = replace(QUICK.images, n_iterations=6)
TINY_TEXT = replace(QUICK.text, n_iterations=6)


@pytest.fixture
def made_up(monkeypatch):
    """Images whose label is their brightest row, and sentences, in place of the files."""

    def load_mnist(subset):
        rng = np.random.RandomState(len(subset))
        labels = rng.randint(0, 10, 400)
        X = 0.2 * rng.random_sample((400, 12, 5))
        X[np.arange(400), labels] += 0.8
        return X, labels

    monkeypatch.setattr(problems, "load_mnist", load_mnist)
    monkeypatch.setattr(problems, "load_text", lambda: SENTENCES)
    for cached in (problems._images, problems._text):
        cached.cache_clear()
    yield
    for cached in (problems._images, problems._text):
        cached.cache_clear()


def test_both_metrics_of_both_parts():
    rng = np.random.RandomState(0)
    outputs, labels = rng.normal(size=(50, 4)), rng.randint(0, 4, 50)
    found = Losses(20, rho=1.0).value(outputs, labels)
    for part, rows in (("training", slice(20)), ("test", slice(20, None))):
        loss, accuracy = loss_and_accuracy(outputs[rows], labels[rows])
        assert (found[f"rollout_{part}_loss"], found[f"rollout_{part}_accuracy"]) == (loss, accuracy)
        assert found[f"auxiliary_{part}_loss"] < loss and found[f"auxiliary_{part}_accuracy"] >= accuracy
    assert not any(name.startswith("auxiliary") for name in Losses(20).value(outputs, labels))


@pytest.mark.parametrize("rho", [0.1, 1.0, 10.0])
def test_the_o_step_is_stationary(rho):
    rng = np.random.RandomState(0)
    q, labels = rng.normal(size=(30, 5)), rng.randint(0, 5, 30)
    o = after_o_step(q, labels, rho)
    p = np.exp(o) / np.exp(o).sum(axis=1, keepdims=True)
    p[np.arange(30), labels] -= 1
    assert p + rho * (o - q) == pytest.approx(0, abs=1e-9)


def test_evaluations_grow_by_a_third_and_end_with_the_last_iteration():
    for n_iterations in (1, 5, 1000):
        points = Images(n_iterations=n_iterations).points
        assert points[0] == 1 and points[-1] == n_iterations and list(points) == sorted(set(points))


def test_images_are_evaluated_on_learnt_ones_and_on_the_test_set(made_up):
    problem = Images(n_train=300, n_evaluated=60)
    data = problem.data()
    assert (len(data.train), len(data.test), problem.n_training) == (300, 90, 30)
    X, y = problems.load_mnist("train")
    assert np.array_equal(data.test_targets[:30], y[np.arange(0, 300, 10)])
    assert data.test.observations[:12] == pytest.approx(X[0])
    X_test, y_test = problems.load_mnist("test")
    assert data.test_targets[30] == y_test[0] and data.test.observations[30 * 12 :][:12] == pytest.approx(X_test[0])


def test_text_is_evaluated_in_pieces_with_the_characters_that_follow(made_up):
    problem = Text(length=10, n_characters=200, n_evaluated=1000)
    data = problem.data()
    assert problem.batch_size == 20 and problem.n_training == 1000
    assert list(data.test.lengths) == [500] * 4 and len(data.test_targets) == 2000
    symbols, codes = np.unique(list(SENTENCES), return_inverse=True)
    assert np.array_equal(data.test.observations[:500, 0], codes[:500])
    assert np.array_equal(data.test_targets[:500], codes[1:501])
    cut = int(0.9 * len(codes))
    starts = data.test.first_rows[2:]
    assert np.array_equal(data.test_targets[starts[0] :][:100], codes[cut + 1 : cut + 101])
    assert problem.n_a_pass == math.ceil(math.ceil((cut - 1) / 10) / 20)


@pytest.mark.parametrize("problem", [TINY_IMAGES, TINY_TEXT], ids=["images", "text"])
@pytest.mark.parametrize("contender", [ROLLOUT, ALGORITHM_1])
def test_trainings_measure_both_metrics_at_every_point(problem, contender, made_up):
    run = Training(problem, contender).run()
    assert tuple(run.iterations) == problem.points
    for part in ("training", "test"):
        for metric in ("auxiliary", "rollout"):
            losses = run.values[f"{metric}_{part}_loss"]
            assert len(losses) == len(run.iterations) and np.isfinite(losses).all()
    assert run.values["rollout_training_loss"][-1] < run.values["rollout_training_loss"][0]
    again = Training(problem, contender).run()
    assert again.values == run.values
    assert Training(problem, contender, seed=1).run().values != run.values


def test_the_labels_of_test_images_reach_nothing_but_their_own_variables(made_up, monkeypatch):
    """The weights, and so the roll-out, do not depend on them; the auxiliary loss does."""
    problem = replace(TINY_IMAGES, n_iterations=12)
    before = Training(problem, ALGORITHM_1).run().values
    data = problem.data()
    others = data.test_targets.copy()
    others[problem.n_training :] = (others[problem.n_training :] + 1) % 10
    monkeypatch.setattr(Images, "data", lambda self: replace(data, test_targets=others))
    after = Training(problem, ALGORITHM_1).run().values
    assert after["rollout_training_loss"] == before["rollout_training_loss"]
    assert after["rollout_test_loss"] != before["rollout_test_loss"]
    assert after["auxiliary_test_loss"][0] == pytest.approx(before["auxiliary_test_loss"][0], rel=0.1)


def test_initial_weights_are_scaled(made_up):
    runs = [Training(replace(TINY_IMAGES, start_scale=scale), ROLLOUT).run() for scale in (1.0, 0.01)]
    assert runs[0].values["rollout_test_loss"][0] != runs[1].values["rollout_test_loss"][0]


def test_settings_are_multiples_of_the_defaults():
    default, changed = Rollout(), changed_rollout((("radius", 2.0), ("r", 0.1)))
    assert changed.radius == 2 * default.radius and changed.output_radius == 2 * default.output_radius
    assert changed.r == 0.1 * default.r and changed.damping == default.damping


def test_a_grid_goes_on_where_its_end_is_the_best():
    assert continued((1.0, 2.0, 4.0), 4.0) == ((1.0, 2.0, 4.0, 8.0), (8.0,))
    assert continued((1.0, 2.0, 4.0), 1.0) == ((0.5, 1.0, 2.0, 4.0), (0.5,))
    assert continued((1.0, 2.0, 4.0), 2.0) == ((1.0, 2.0, 4.0), ())


def test_a_run_that_diverged_leaves_no_mean_behind():
    whole, cut = Run([1, 2, 3], {"loss": [1.0, 2.0, 4.0]}, 0.0), Run([1, 2], {"loss": [3.0, 2.0]}, 0.0)
    found = averaged([whole, cut], (1, 2, 3), ("loss", "not measured"))
    assert found["n"] == 2 and found["loss"]["mean"][:2] == [2.0, 2.0] and math.isnan(found["loss"]["mean"][2])
    assert found["loss"]["sd"][:2] == [pytest.approx(math.sqrt(2), rel=1e-4), 0.0] and "not measured" not in found
    nothing = averaged([Run.of_pairs([], 0.0), whole], (1, 2, 3), ("loss",))
    assert nothing["n"] == 2


def curve(*mean, sd=None):
    return {"mean": list(mean), "sd": list(sd or np.full(len(mean), 0.01))}


def figure_of(**test_losses):
    """A figure with four evaluations; every loss there is is the one given."""
    series = {}
    for name, mean in test_losses.items():
        name = name.replace("_", " ")
        metrics = ("auxiliary", "rollout") if name in (ALGORITHM_1, ROLLOUT) else ("rollout",)
        series[name] = {f"{metric}_{part}_loss": curve(*mean) for metric in metrics for part in ("training", "test")}
    return {"iterations": [10, 25, 50, 100], "lengths": [5, 25, 100, 200], "series": series}


def holds(judge, data):
    return [verdict.holds for verdict in judge(data)]


def test_lowest_and_fastest():
    data = figure_of(
        Algorithm_1=(2, 1.5, 1, 0.9), Rollout=(3, 1, 0.5, 0.1), SGD=(2, 1.2, 1, 0.8), Adam=(2, 1.1, 0.4, 0.3)
    )
    assert holds(claims.lowest_at_the_end, data) == [False, False, True]
    assert "Adam 0.3" in claims.lowest_at_the_end(data)[2].found
    *_, rollout = claims.fastest(data)
    assert rollout.holds is False and rollout.found == "not at iterations 50"
    data["series"]["Rollout"]["rollout_test_loss"] = curve(3, 1, 0.3, 0.1)
    assert holds(claims.fastest, data) == [False, False, True]


def test_ranges_of_iterations():
    iterations = [10, 25, 50, 100, 200]
    assert claims._ranges(iterations, [True, True, False, True, False]) == "10 to 25, 100"
    assert claims._ranges(iterations, [False, False, False, True, True]) == "100 to 200"


def test_smooth_curves_do_not_rise():
    data = figure_of(Algorithm_1=(9, 1, 2, 1), Rollout=(1, 3, 2, 1), SGD=(1, 3, 3.1, 1), Adam=(3, 2, 2.2, 1))
    assert holds(claims.smoothest, data) == [False, False, True]


def test_lengths():
    data = figure_of(Algorithm_1=(1, 1, 1, 1.1), Rollout=(1.1, 1, 1, 1.04), SGD=(2, 2, 1.05, 3), Adam=(1, 1, 1, 1.2))
    assert holds(claims.longest_costs_nothing, data) == [False, False, True]
    assert holds(claims.immune_to_length, data) == [False, False, False]
    assert claims.immune_to_length(data)[2].found == "worst / best length 1.100, SGD 2.86, Adam 1.2"
    assert holds(claims.better_than_sgd_everywhere, data) == [True, True, True]
    data["series"]["SGD"]["rollout_test_loss"] = curve(1.05, 2, 2, 3)
    assert holds(claims.better_than_sgd_everywhere, data) == [True, True, False]


def test_deviations():
    data = figure_of(Algorithm_1=(1, 1, 1, 1), Rollout=(1, 1, 1, 0.3), SGD=(1,) * 4, Adam=(1,) * 4, RMSprop=(1,) * 4)
    for name, sd in (
        ("SGD", (1, 1, 2, 4)),
        ("Adam", (4, 4, 2, 2)),
        ("RMSprop", (4, 4, 2, 1)),
        (ROLLOUT, (1, 1, 1, 0.5)),
    ):
        data["series"][name]["rollout_test_loss"]["sd"] = list(sd)
    data["series"][ALGORITHM_1]["rollout_test_loss"]["sd"] = [1, 1, 1, 1]
    assert holds(claims.small_deviation, data) == [True, False, True]
    assert holds(claims.small_mean, data) == [False, False, True]
    assert holds(claims.deviations_of_the_peers, data) == [True, None, None]
    data |= {"starts": data["series"], "scales": [0.01, 0.1, 1.0, 3.0]}
    data["series"]["SGD"]["rollout_test_loss"]["mean"] = [1, 1, 1, 2]
    data["series"]["Adam"]["rollout_test_loss"]["mean"] = [1.5, 1, 1, 1]
    assert holds(claims.immune_to_the_start, data) == [True, True, False]
    assert claims.immune_to_the_start(data)[2].found.endswith("0.3 at x 3; 0.7 apart, SGD 1, Adam 0.5")


def sweep_of(ends, changed):
    """Figures 5 and 6 with accuracies that end at 1 - loss."""
    series = {}
    for name, end in (ends | changed).items():
        values = (2.0, 1.5, 1.0, end)
        series[name] = {
            f"{metric}_{what}": curve(*(values if "loss" in what else [1 - value for value in values]))
            for metric in ("auxiliary", "rollout")
            for what in ("training_loss", "test_loss", "training_accuracy", "test_accuracy")
        }
    return {"iterations": [10, 25, 50, 100], "series": series}


def test_sweeps():
    of_nu = {f"{ALGORITHM_1}, nu = {nu:g}": end for nu, end in ((1.0, 0.5), (0.1, 0.051), (0.01, 0.05))}
    data = sweep_of(of_nu, {f"{ROLLOUT}, {DEFAULT}": 0.1, f"{ROLLOUT}, r x 10": 0.2})
    assert holds(claims.large_nu_ends_worse, data) == [True, True, None]
    assert holds(claims.hardly_matters, data) == [False, False, False]
    assert claims.hardly_matters(data)[2].found == "0.1 (defaults) to 0.2 (r x 10)"
    assert holds(claims.below_some_nu_nothing_changes, data) == [True, True, None]
    assert holds(claims.large_nu_delays, data) == [True, True, None]
    assert claims.large_nu_delays(data)[0].found == "accuracy 0.9 never at nu = 1, from iteration 100 at 0.01"
    assert holds(claims.plain_in_accuracies, data) == [True, True, None]


@pytest.mark.parametrize("figure", [figure_5, figure_6])
def test_sweeps_are_run_drawn_and_judged(figure, made_up, tmp_path):
    pytest.importorskip("matplotlib")
    sizes = replace(QUICK, images=replace(QUICK.images, n_iterations=22), text=replace(TINY_TEXT, n_iterations=22))
    name = figure.__name__[-1]
    with Runner(1) as runner:
        data = figure(runner, sizes, 0)
    record = json.loads(json.dumps({"figures": {name: data}}))["figures"][name]
    DRAWINGS[name](record, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    for claim in claims.CLAIMS:
        if claim.figure == name:
            assert len(claim.judge(record)) == len(claims.COLUMNS)
    assert f"Figure {name}" not in report.sentence(name, record)


def test_every_figure_has_claims_and_a_drawing():
    assert set(FIGURES) == set(DRAWINGS) == {claim.figure for claim in claims.CLAIMS} == {"2", "3", "4", "5", "6"}
    assert set(paper_main.ONE_FIGURE) == {f"figure-{name}" for name in FIGURES}
    assert len({claim.judge for claim in claims.CLAIMS}) == len(claims.CLAIMS)
    assert all(callable(globals().get(claim.test)) for claim in claims.CLAIMS)


def test_the_page_is_what_the_curves_say():
    """docs/paper.md has the verdicts that follow from docs/paper-figures.json, and the pictures are there."""
    record = json.loads((report.DOCS / "paper-figures.json").read_text())
    page = (report.DOCS / "paper.md").read_text(encoding="utf-8")
    assert report.markdown(record) in page
    for picture in re.findall(r"\((paper-figure-[^)]*\.png)\)", page):
        assert (report.DOCS / picture).stat().st_size > 10_000
    assert sum(path.stat().st_size for path in report.DOCS.glob("*.json")) < 200_000
    assert not record["quick"] and set(record["figures"]) == set(FIGURES)


def test_figures_need_their_data(monkeypatch, tmp_path):
    monkeypatch.delenv("ADMMIRNN_DATA", raising=False)
    for cached in (problems._images, problems._text):
        cached.cache_clear()
    monkeypatch.setattr(sys, "argv", ["paper", "figure-5", "--processes", "1", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match="ADMMIRNN_DATA"):
        paper_main.main()


# The claims, on smaller networks and fewer iterations than the figures; every threshold is what the peers reach.

SMALL = Sizes(
    Images(n_iterations=250, n_hidden=32, n_train=20_000, n_evaluated=1000, n_split=20, n_split_hidden=16),
    Text(n_iterations=300, n_hidden=48, n_evaluated=4000),
    lengths=(5, 25, 200),
    n_seeds=2,
    n_of_lengths=1,
    n_starts=2,
    nus_of_text=(1e-2, 1e-6, 1e-8),
    nus_of_images=(1.0, 1e-3),
)


@pytest.fixture(scope="module")
def small():
    """A figure in small by its number, each computed once, with the real data."""
    pytest.importorskip("torch")
    for file in ("mnist", "text"):
        if not os.path.isdir(os.path.join(os.environ.get("ADMMIRNN_DATA", ""), file)):
            pytest.skip("ADMMIRNN_DATA names no folder with the data")
    with Runner(N_PROCESSES) as runner:
        yield lru_cache(lambda name: FIGURES[name](runner, SMALL, 0))


def rollout_holds(judge, data):
    *_, verdict = judge(data)
    return verdict.holds


@pytest.mark.slow
def test_rollout_is_below_the_peers_and_deviates_less(small):
    """Figures 2 and 4: ten runs of each."""
    data = small("4")
    assert rollout_holds(claims.lowest_at_the_end, data) and rollout_holds(claims.fastest, data)
    ends = {name: series["rollout_test_loss"] for name, series in data["series"].items()}
    for peer in ("SGD", "RMSprop", "Adam"):
        assert ends[ROLLOUT]["sd"][-1] < ends[peer]["sd"][-1], peer


@pytest.mark.slow
def test_the_auxiliary_loss_of_algorithm_1_is_below_that_of_its_network(small):
    series = small("4")["series"][ALGORITHM_1]
    for part in ("training", "test"):
        assert series[f"auxiliary_{part}_loss"]["mean"][-1] < series[f"rollout_{part}_loss"]["mean"][-1] / 2


@pytest.mark.slow
def test_rollout_is_immune_to_the_start(small):
    """From weights times 0.01 to 3, with one setting, losses end nearer to one another than those of any peer."""
    assert rollout_holds(claims.immune_to_the_start, small("4"))


@pytest.mark.slow
def test_rollout_is_immune_to_the_length(small):
    data = small("3")
    for judge in (claims.immune_to_length, claims.longest_costs_nothing, claims.better_than_sgd_everywhere):
        assert rollout_holds(judge, data)


@pytest.mark.slow
def test_small_nu_helps_the_auxiliary_loss_on_text_and_not_the_network(small):
    data = small("5")
    assert holds(claims.large_nu_ends_worse, data)[:2] == [True, False]
    assert holds(claims.below_some_nu_nothing_changes, data)[:2] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["5", "6"])
def test_rollout_is_less_sensitive_to_its_settings_than_the_peers_are_to_the_learning_rate(small, figure):
    """Settings are up to ten times their defaults, or as many times less, and so are learning rates the middle one.

    All but r times ten, a tenth of every step that the radius does not bound, which is as slow as a tenth of a learning
    rate.
    """
    series = small(figure)["series"]
    settings = {name: found for name, found in series.items() if name.startswith(ROLLOUT) and "r x 10" not in name}
    ends = [found["rollout_training_loss"]["mean"][-1] for found in settings.values()]
    default = series[f"{ROLLOUT}, {DEFAULT}"]["rollout_training_loss"]["mean"][-1]
    problem = SMALL.text if figure == "5" else SMALL.images
    rate = problem.learning_rates["Adam"][2]
    runs = [Training(problem, "Adam", learning_rate=rate * factor) for factor in (1 / 10, 1, 10)]
    with Runner(1) as runner:
        theirs = [run.values["rollout_training_loss"][-1] for run in runner.run(runs, "Adam")]
    assert max(ends) / default < max(theirs) / min(theirs)


@pytest.mark.parametrize("seed", range(2))
def test_the_auxiliary_residuals_fall_as_1_over_k(seed):
    """Theorem 3 speaks of the change of the iterates; the residuals at t = N are that of the multipliers over rho."""
    rng = np.random.RandomState(seed)
    network = ElmanRNN.random(2, 6, 3, dtype=np.float64, random_state=rng)
    sequences = Sequences.of_lengths(rng.normal(size=(40, 2)), np.full(8, 5))
    solver = Algorithm1(2, 2, 2, nu=1.0, r="lipschitz", s_coupling=True, max_iter=400, eps_abs=0.0, eps_rel=0.0)
    history = solver.solve(network, sequences, rng.randint(0, 3, 8), LOSS).history
    squares = np.array([sum(record[f"primal_{name}_N"] ** 2 for name in "aso") for record in history])
    k_times_least = np.arange(1, len(squares) + 1) * np.minimum.accumulate(squares)
    assert (k_times_least[100:] <= k_times_least[100]).all()
    slope = np.polyfit(np.log(np.arange(101, 401)), np.log(np.minimum.accumulate(squares)[100:]), 1)[0]
    assert slope < -1
