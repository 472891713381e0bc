"""The machinery of bench/race, on curves that are made up and on a task that takes no time."""

import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from admmirnn import Rollout, backend
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from admmirnn.networks.room import Room, Space
from admmirnn.solvers.rollout.order import Carried
from bench.race import __main__ as race_main
from bench.race import run as race_run
from bench.race.curves import ACCURACY, Curve, MeanCurve, Metric, Point, evaluation_points, mean_curves
from bench.race.ours import OurSide, initial_network
from bench.race.report import print_standing, standings, verdict
from bench.race.selection import choose, try_settings
from bench.race.task import Data, Goal, Ours, Task, Theirs, around, standardised
from bench.race.tasks import load_task, names
from bench.record import write_json

OPTIMISERS = ("SGD", "Momentum", "AdaGrad", "RMSprop", "Adam", "SOAP", "Muon", "PSGD-Kron", "Shampoo")
BITS = Metric("bits per character", lambda outputs, targets: 2.0, higher_is_better=False)
OURS = Ours(epochs=3)


@pytest.fixture(autouse=True)
def subnormal_numbers():
    """A race has torch set them to zero, in all of the thread."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


def made_up(contender, values, seconds=None, seed=0, setting="any"):
    seconds = list(range(1, len(values) + 1)) if seconds is None else seconds
    return Curve(contender, str(setting), seed, list(range(1, len(values) + 1)), seconds, seconds, values)


@pytest.fixture
def task(waves):
    X, y = waves
    data = Data.of_labels(X[:90], y[:90], X[90:], y[90:])
    return Task(
        title="waves",
        load=lambda seed: data,
        goals=(Goal(OURS, share=1 / 2, value=0.6), Goal(OURS, share=None, value=0.99)),
        batch_size=30,
        learning_rates={"SGD": around(0.1), "Adam": around(1e-2)},
        budgets=(1, 2),
        n_hidden=8,
    )


def test_evaluations_are_one_iteration_or_five_per_cent_apart():
    points = list(itertools.islice(evaluation_points(3), 150))
    assert points[0] == 3
    assert all(b == a + 1 or a < b <= 1.05 * a for a, b in itertools.pairwise(points))
    assert points[-1] > 1000


def test_seconds_to_a_goal_in_both_directions():
    rising = MeanCurve([made_up("a", [0.1, 0.6, 0.5, 0.9], [1.0, 2.0, 4.0, 8.0])])
    assert [rising.seconds_to(goal, ACCURACY) for goal in (0.1, 0.55, 0.9, 0.91)] == [1.0, 2.0, 8.0, math.inf]
    falling = MeanCurve([made_up("a", [3.0, 2.5, 2.6, 2.0], [1.0, 2.0, 4.0, 8.0])])
    assert [falling.seconds_to(goal, BITS) for goal in (3.0, 2.55, 2.0, 1.9)] == [1.0, 2.0, 8.0, math.inf]
    assert (ACCURACY.best([0.2, 0.4]), BITS.best([2.0, 1.5])) == (0.4, 1.5)


def test_the_goal_is_reached_by_the_mean_over_seeds_at_the_median_of_seconds():
    curves = [made_up("a", values, seconds, seed) for seed, (values, seconds) in enumerate([
        ([0.1, 0.7, 0.9], [1.0, 2.0, 3.0]), ([0.3, 0.5, 0.9], [2.0, 4.0, 6.0]), ([0.2, 0.3, 0.6], [9.0, 10.0, 11.0]),
    ])]  # fmt: skip
    (mean,) = mean_curves(curves)
    assert mean.values == pytest.approx([0.2, 0.5, 0.8]) and list(mean.seconds) == [2.0, 4.0, 6.0]
    assert mean.seconds_to(0.7, ACCURACY) == 6.0
    assert mean.seconds_of_seeds(0.7, ACCURACY) == [2.0, 6.0, math.inf]


def test_values_that_are_not_finite_are_the_worst():
    nothing = Metric("nothing", lambda outputs, targets: math.nan)
    assert nothing.value(None, None) == -math.inf
    assert replace(nothing, higher_is_better=False).value(None, None) == math.inf


class Scripted:
    """A peer whose accuracy after each of 100 iterations an epoch is a function of the iteration."""

    name = "scripted"

    def __init__(self, scripts):
        self.scripts = scripts  # by (epochs, learning rate)
        self.settings = [Theirs(*setting) for setting in scripts]

    def n_iterations(self, data, setting):
        return 100 * setting.epochs

    def run(self, data, setting, seed, points):
        script = self.scripts[setting.epochs, setting.learning_rate]
        for iteration in range(1, self.n_iterations(data, setting) + 1):
            yield Point(iteration, iteration, iteration, script(iteration))


def tried(scripts, goals, metric=ACCURACY):
    trials = try_settings(Scripted(scripts), None, 0, goals, metric, say=lambda line: None)
    ends = {(trial.setting.epochs, trial.setting.learning_rate): (trial.end, trial.iterations[-1]) for trial in trials}
    return ends, [(setting.epochs, setting.learning_rate) for setting in choose(trials, goals)]


def test_trials_end_when_they_cannot_win():
    ends, chosen = tried({
        (1, 0.1): lambda iteration: 0.2,  # far behind after a quarter
        (1, 0.2): lambda iteration: 0.5 + 0.005 * iteration,  # there after 80
        (1, 0.3): lambda iteration: 0.6 + 0.003 * iteration,  # at the first goal sooner, at the second one later
        (2, 0.2): lambda iteration: 0.7 + 0.001 * iteration,  # not there when the first one was
    }, goals=(0.75, 0.9))  # fmt: skip
    assert ends == {
        (1, 0.1): ("hopeless", 25),
        (1, 0.2): ("reached every goal", 80),
        (1, 0.3): ("beaten", 80),
        (2, 0.2): ("beaten", 80),
    }
    assert chosen == [(1, 0.2)]  # 0.75 after 50 iterations, as (1, 0.3)


def test_each_goal_chooses_its_own_setting():
    scripts = {
        (1, 0.1): lambda iteration: 0.74 + 0.16 * (iteration > 60),
        (1, 0.2): lambda iteration: 0.78 * (iteration > 20),
    }
    assert tried(scripts, goals=(0.75, 0.9))[1] == [(1, 0.2), (1, 0.1)]


def test_trials_when_lower_is_better_and_no_goal_is_reached():
    scripts = {(1, 0.1): lambda iteration: 3 - 0.01 * iteration, (1, 0.2): lambda iteration: 3 - 0.011 * iteration}
    ends, chosen = tried(scripts, goals=(1.5,), metric=BITS)
    assert {end for end, _ in ends.values()} == {"budget used up"} and chosen == [(1, 0.2)]


def found_for(task, curves):
    kinds = {"admmirnn": "ours", "Adam": "peer", "SGD": "peer", "MLP": "other"}
    return standings(
        task, {name: kinds[name] for name in {curve.contender: None for curve in curves}}, mean_curves(curves)
    )


@pytest.fixture
def curves():
    return [
        made_up("admmirnn", [0.5, 0.7, 0.8], [0.1, 0.2, 0.3], setting=OURS),
        made_up("admmirnn", [0.9, 0.9, 0.9], [0.1, 0.2, 0.3], setting="of no goal"),
        made_up("Adam", [0.4, 0.5, 0.8], [0.3, 0.6, 0.9], setting="slow"),
        made_up("Adam", [0.4, 0.6, 0.7], [0.3, 0.5, 0.9], setting="fast"),
        made_up("SGD", [0.4, 0.5, 0.5]),
        made_up("MLP", [0.99, 0.99, 0.99], [0.01, 0.02, 0.03]),
    ]


def test_known_goals(task, curves, capsys):
    known, hard = found_for(task, curves)
    assert (known.ours.seconds, known.best_peer.seconds) == (0.2, 0.5)
    assert known.best_peer.curve.setting == "fast" and known.share == pytest.approx(0.4) and known.met is True
    assert [place.curve.contender for place in known.places] == ["MLP", "admmirnn", "Adam", "SGD"]
    assert hard.share == math.inf and hard.met is None
    assert verdict(known, ACCURACY).startswith("met") and "1/2.50" in verdict(known, ACCURACY)
    print_standing(known, ACCURACY)
    table = capsys.readouterr().out
    assert len({line.index("seconds") for line in table.splitlines() if "seconds" in line}) == 1 and "never" in table
    strict = replace(task, goals=(replace(task.goals[0], share=1 / 3),))
    assert found_for(strict, curves)[0].met is False


def test_the_peers_best_as_goal(task, curves):
    best = replace(task, goals=(Goal(OURS, share=1 / 2), Goal(OURS, share=None, off=0.1)))
    first, second = found_for(best, curves)
    assert (first.value, first.ours.seconds, first.best_peer.seconds) == (0.8, 0.3, 0.9) and first.met
    assert (second.value, second.best_peer.curve.setting) == (pytest.approx(0.7), "slow")


def test_the_final_value_of_a_rival_as_goal(task, curves):
    falls_back = made_up("SGD", [0.3, 0.9, 0.5], [0.1, 0.2, 3.0], setting="unsteady")
    slow = replace(task, goals=(Goal(OURS, share=1 / 2, rival="SGD"),))
    (found,) = found_for(slow, [*(curve for curve in curves if curve.contender != "SGD"), falls_back])
    assert found.value == 0.5  # not the 0.9 on the way
    assert found.best_peer.curve.contender == "SGD" and found.best_peer.seconds == 0.2
    assert "(SGD's final value)" in verdict(found, ACCURACY)


def of_text(text="abcab" * 50, cut=200):
    return Data.of_text(text[:cut], text[cut:], 7)


def test_data_of_text_are_codes_and_the_characters_that_follow():
    data = of_text()
    assert (data.n_outputs, data.train.n_symbols, data.every_step, data.train.observations.dtype) == (3, 3, True, "u1")
    assert data.train.observations[:4, 0].tolist() == [0, 1, 2, 0] and data.train_targets[:4].tolist() == [1, 2, 0, 1]
    assert (data.train.lengths.tolist(), len(data.train_targets)) == ([199], 199)
    assert (data.test.lengths.tolist(), len(data.test_targets)) == ([49], 49)
    few = data.first(3, 2)
    assert [part.lengths.tolist() for part in (few.train, few.test)] == [[21], [14]]
    assert (len(few.train_targets), len(few.test_targets)) == (21, 14)
    assert data.first(10**6, 0).train.lengths.tolist() == [199]


def text_task(**changed):
    learns = {"SGD": around(1.0), "Adam": around(1e-2)}
    goals = (Goal(replace(OURS, batch_size=4), share=1 / 2, rival="Adam"),)
    bits = Metric("bits", lambda outputs, targets: float(len(outputs) == len(targets)), higher_is_better=False)
    settings = {"learning_rates": learns, "budgets": (2,), "n_hidden": 8, "metric": bits} | changed
    return Task(title="text", load=lambda seed: of_text(), goals=goals, batch_size=4, **settings)


def test_our_side_reads_streams():
    task = text_task()
    points = OurSide(task).run(task.load(0), task.goals[0].ours, seed=0)
    assert [point.iteration for point in points] == [*range(1, 3 * 8 + 1)]  # 199 steps are 4 streams of 8 chunks of 7
    assert all(point.value == 1 for point in points)


def test_torch_reads_the_same_chunks_with_the_state_carried_on():
    torch = pytest.importorskip("torch")
    from bench.race.peers import NO_TARGET, TorchPeer, _StreamsOfTensors

    task, data = text_task(same_start=True), of_text()
    points = list(TorchPeer("Adam", task).run(data, Theirs(2, 0.01), 0))
    assert [point.iteration for point in points] == [*range(1, 17)] and points[-1].value == 1

    network = ElmanRNN.random(3, 8, 3, random_state=np.random.RandomState(0), symbols=True)
    rnn = torch.nn.RNN(3, 8, batch_first=True)
    with torch.no_grad():
        for name, parameter in (("U", rnn.weight_ih_l0), ("W", rnn.weight_hh_l0)):
            parameter.copy_(torch.from_numpy(network.weights[name].copy()))
        rnn.bias_ih_l0.zero_()
        rnn.bias_hh_l0.zero_()
    tensors, streams = _StreamsOfTensors(data, 4), data.train.in_chunks(7, 4)
    chunks, carried = tensors.minibatches(0), Carried(network, streams, 4, False, np.random.RandomState(0))
    kernels = backend.kernels()
    space = Space(kernels, Room(network, "each", 4 * 7, 4, symbols=True))
    for _ in range(2):  # the second epoch starts where the first has ended
        for indices in carried.epoch():
            states, targets = tensors.read(rnn, next(chunks))
            batch = streams.chunks.minibatch(indices)
            space.fit(batch)
            initial, _ = carried.start(batch)
            kernels.forward(space.work, space.kernel_batch, initial)
            carried.keep(batch, space.S[batch.n_rows :].copy)
            sequence, step = batch.rows()
            there = states.detach().numpy().reshape(4, 7, 8)[streams.stream_of[sequence], step]
            assert np.abs(there - space.S[batch.rows_of_states()]).max() < 1e-5
            theirs = targets.numpy().reshape(4, 7)
            assert (theirs[streams.stream_of[sequence], step] == data.train_targets[
                streams.chunks.first_steps[sequence] + step
            ]).all()  # fmt: skip
            assert (theirs != NO_TARGET).sum() == batch.n_rows


def test_only_we_or_nobody_reaches_a_goal(task, curves):
    (found,) = found_for(replace(task, goals=(Goal(OURS, share=0.5, value=0.75),)), curves[:1] + curves[4:])
    assert found.share == 0 and found.met and "never" in verdict(found, ACCURACY)
    (found,) = found_for(replace(task, goals=(Goal(OURS, share=0.5, value=0.85),)), curves[:1] + curves[4:])
    assert found.share == math.inf and not found.met


def test_the_record_comes_back_from_its_file(tmp_path, curves, task):
    record = {"curves": [vars(curve) for curve in curves], "never": math.inf, "share": 1 / 8}
    write_json(tmp_path / "race.json", record)
    again = json.loads((tmp_path / "race.json").read_text())
    assert (again["never"], again["share"]) == (None, 0.125)
    assert [Curve.of_record(curve, ACCURACY) for curve in again["curves"]] == curves


def test_our_side_evaluates_the_network_as_it_is_after_each_iteration(task):
    data, evaluated = task.load(0), []

    def remember(outputs, targets):
        evaluated.append(outputs)
        return ACCURACY.of(outputs, targets)

    side = OurSide(replace(task, metric=Metric("remembered", remember)))
    points = side.run(data, OURS, seed=1)
    assert [point.iteration for point in points] == [*range(1, 19)]  # 3 epochs of 6 minibatches
    seconds = [point.seconds for point in points]
    assert seconds == sorted(seconds) and seconds[0] > 0

    network, by_epoch = initial_network(data, task.n_hidden, 1), []
    Rollout().solve(
        network,
        data.train,
        data.train_targets,
        SoftmaxCrossEntropy(),
        penalty=OURS.penalty,
        max_epochs=3,
        random_state=np.random.RandomState(1),
        on_epoch_end=lambda record: by_epoch.append(network.outputs(data.test)),
    )
    for epoch, outputs in enumerate(by_epoch, 1):
        assert np.array_equal(evaluated[6 * epoch - 1], outputs)


@pytest.mark.parametrize("epochs, iterations", [(0.1, 1), (0.5, 3), (1.5, 9)])
def test_our_side_runs_parts_of_epochs(task, epochs, iterations):
    points = OurSide(task).run(task.load(0), replace(OURS, epochs=epochs), seed=1)
    assert [point.iteration for point in points] == [*range(1, iterations + 1)]


def test_data_of_labels_and_the_first_of_them(waves):
    X, y = waves
    X, X_test = standardised(X[:90], X[90:])
    data = Data.of_labels(X, np.array(["no", "yes"])[y[:90]], X_test, np.array(["no", "yes"])[y[90:]])
    assert np.concatenate(X).mean(axis=0) == pytest.approx(0) and np.concatenate(X).std(axis=0) == pytest.approx(1)
    assert data.train.observations.dtype == np.float32 and data.n_outputs == 2 and not data.every_step
    assert np.array_equal(data.test_targets, y[90:])
    few = data.first(10, 5)
    assert (len(few.train), len(few.train_targets), len(few.test), len(few.test_targets)) == (10, 10, 5, 5)
    assert np.array_equal(few.train.observations, np.concatenate(X[:10]).astype(np.float32))


def test_every_task_has_five_learning_rates_and_goals_of_one_kind():
    known = {"mnist", "mnist_gates", "pixels", "vowels", "osuleaf", "digits", "text", "adding", "mackey_glass"}
    assert set(names()) == known
    for task in map(load_task, names()):
        assert all(len(rates) == 5 and sorted(rates) == list(rates) for rates in task.learning_rates.values())
        assert list(task.budgets) == sorted(task.budgets)
        assert len({goal.value is None for goal in task.goals}) == 1
        assert any(goal.share is not None for goal in task.goals)


def test_gates_of_long_sequences_start_as_those_of_estimators(task):
    X = np.zeros((4, 300, 2), np.float32)
    data = Data.of_labels(X, [0, 1, 0, 1], X, [0, 1, 0, 1])
    network = initial_network(data, 50, 0, cell="gru")
    assert 3 < network.weights["b_z"].mean() < 6 and network.weights["b_z"].max() <= np.log(299)
    assert (initial_network(data.first(4, 4), 50, 0, cell="elman").weights["b"] == 0).all()
    short = Data.of_labels(X[:, :20], [0, 1, 0, 1], X[:, :20], [0, 1, 0, 1])
    assert (initial_network(short, 50, 0, cell="gru").weights["b_z"] == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["RNN", "GRU"])
def test_torch_learns_values(layer, task):
    pytest.importorskip("torch").set_num_threads(1)
    from bench.race import peers

    X = np.random.default_rng(0).normal(size=(80, 6, 2))
    data = Data.of_values(X, X.sum(axis=1), X[:20], X[:20].sum(axis=1))
    assert data.n_outputs == 2
    training = peers._Training("Adam", data, task, 0.02, 0, layer)
    train, test = peers._tensors(data, task.batch_size)
    before = np.mean((training.outputs(test) - data.test_targets) ** 2)
    for _ in range(60):
        training.step(train, np.arange(80), 0.0)
    assert np.mean((training.outputs(test) - data.test_targets) ** 2) < 0.3 * before


def test_without_torch_there_is_a_message(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "bench.race.peers", raising=False)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(sys, "argv", ["race", "digits", "--quick", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match=r'pip install -e "\.\[bench\]"'):
        race_main.main()


def test_a_race_is_read_again_and_drawn(monkeypatch, tmp_path, capsys, task, curves):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(race_run, "load_task", lambda name: task)
    record = {
        "curves": [vars(curve) for curve in curves],
        "contenders": {"admmirnn": "ours", "Adam": "peer", "SGD": "peer", "MLP": "other"},
        "machine": {"summary": "a machine"},
        "options": {"quick": False},  # and more
    }
    write_json(tmp_path / "before.json", record)
    options = SimpleNamespace(
        task="waves", read=tmp_path / "before.json", output=tmp_path, clock="processor", publish=False
    )
    assert race_run.race(options) == 0
    assert "ours / peer = 1/2.50 (target at most 1/2)" in capsys.readouterr().out
    assert (tmp_path / "race-waves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "race-waves.json").read_text())["standings"][0]["met"] is True


@pytest.mark.slow
@pytest.mark.parametrize("form", ["equal lengths", "unequal lengths", "every step"])
def test_torch_has_the_same_network(form, waves, task):
    pytest.importorskip("torch").set_num_threads(1)
    from bench.race import peers

    X, y = waves
    if form == "equal lengths":
        X = [x[:4] for x in X]
    data = Data.of_labels(X[:90], y[:90], X[90:], y[90:])
    if form == "every step":
        steps = [np.repeat(targets, part.lengths) for targets, part in (
            (data.train_targets, data.train), (data.test_targets, data.test)
        )]  # fmt: skip
        data = replace(data, train_targets=steps[0], test_targets=steps[1])
    training = peers._Training("Adam", data, task, 0.01, seed=3)
    train, test = peers._tensors(data, task.batch_size)
    rnn, read_out = training.rnn, training.read_out
    W = rnn.weight_hh_l0.detach().numpy()
    assert W @ W.T == pytest.approx(np.eye(8), abs=1e-5)
    tensors = rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0 + rnn.bias_hh_l0, read_out.weight, read_out.bias
    network = ElmanRNN.of_weights({name: of.detach().numpy() for name, of in zip("UWbVc", tensors, strict=True)})
    expected = network.outputs(data.test, every_step=data.every_step)
    assert training.outputs(test) == pytest.approx(expected, abs=1e-5)
    _, targets = test.read(training.rnn, peers.torch.arange(len(data.test)))
    assert np.array_equal(targets.numpy(), data.test_targets)
    before = cross_entropy_of(training, train, data)
    for _ in range(20):
        training.step(train, np.arange(len(data.train)), 0.0)
    assert cross_entropy_of(training, train, data) < 0.9 * before


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_trains_every_layer(name, layer, waves, task):
    pytest.importorskip("torch").set_num_threads(1)
    from bench.race import optimisers, peers

    if name in optimisers.OF_MATRICES:
        pytest.importorskip("pytorch_optimizer")
    X, y = waves
    data = Data.of_labels(X[:90], y[:90], X[90:], y[90:])
    rate = {"SGD": 0.2, "Momentum": 0.04, "PSGD-Kron": 0.01, "Shampoo": 0.05}.get(name, 0.01)
    training = peers._Training(name, data, task, rate, 3, layer)
    train, _ = peers._tensors(data, task.batch_size)
    for block in training.rnn.weight_hh_l0.detach().numpy().reshape(-1, 8, 8):
        assert block @ block.T == pytest.approx(np.eye(8), abs=1e-5)
    before = cross_entropy_of(training, train, data)
    for _ in range(20):
        training.step(train, np.arange(len(data.train)), 0.0)
    assert cross_entropy_of(training, train, data) < 0.95 * before
    training.step(train, np.arange(len(data.train)), 1.0)
    assert all(group["lr"] == 0 for group in training.optimiser.param_groups)


def cross_entropy_of(training, tensors, data):
    outputs = training.outputs(tensors).astype(float)
    log_normaliser = np.log(np.exp(outputs).sum(axis=1))
    return np.mean(log_normaliser - outputs[np.arange(len(outputs)), data.train_targets])


@pytest.mark.slow
def test_a_quick_race(tmp_path):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    command = [sys.executable, "-m", "bench.race", "digits", "--quick", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "ours / peer" in done.stdout
    record = json.loads((tmp_path / "race-digits.json").read_text())
    assert {curve["contender"] for curve in record["curves"]} >= {"admmirnn", "Adam", "SGD"}
