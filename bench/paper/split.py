"""Algorithm 1 with both metrics along the way: on images, and on chunks of text."""

import numpy as np

from admmirnn import backend
from admmirnn.solvers.algorithm1.solver import Algorithm1
from admmirnn.solvers.algorithm1.variables import SweepSettings
from bench.paper.characters import DIVERGED_ABOVE, CharacterTrainer, TextScheme, new_character_network
from bench.paper.common import LOSS, loss_and_accuracy, residuals_at_last_step, variables_of
from bench.paper.problems import codes_of_text, named
from bench.race.ours import initial_network

RHO = 2.0  # above 2 H, twice the Lipschitz constant of the cross-entropy's gradient, as Theorem 1 asks
NU = 1.0
_UNSEEN = 500  # characters of held-out text at which the auxiliary loss is taken
# The parameters that the search of ``python -m bench.paper text`` ends with.
CHOSEN_TEXT = TextScheme(
    "derived signs, chosen parameters",
    rho=1.0,
    nu=1.0,
    r=3.0,
    linearised=False,
    keeps_multipliers=False,
    start="orthogonal",
)


class ImagesOfAlgorithm1:
    """Algorithm 1 in its stable setting on a few images, and what is measured of it.

    Test images have their own a_t, s_t, o_t and multipliers, which start from the roll-out of the initial weights and
    move once an iteration *with the labels of these images*, while the weights are those of the training.

    Parameters
    ----------
    problem : Images
        Of the network, the images and the evaluations.
    nu : float
        Penalty at t < N.
    seed : int
        Of the initial weights.
    """

    def __init__(self, problem, nu, seed):
        data = problem.data()
        few = data.first(problem.n_split, 0)
        self._problem, self._nu = problem, nu
        self._images, self._labels = few.train, few.train_targets
        unseen = slice(problem.n_training, None)
        self._test, self._test_labels = _part(data.test, unseen), data.test_targets[unseen]
        self._network = initial_network(data, problem.n_split_hidden, seed, problem.start_scale)
        self._kernels = backend.kernels()
        labelled = _part(self._test, slice(problem.n_split))
        self._of_test = variables_of(self._kernels, self._network, labelled, self._test_labels[: problem.n_split])
        self._of_test.roll_out(self._kernels, self._network.activation)
        self._room = [np.empty_like(values) for values in self._of_test.blocks]
        self._points = []

    def run(self):
        """Train; return the evaluations as pairs of iteration and dict, up to divergence if there is any."""
        solver = Algorithm1(
            RHO,
            RHO,
            RHO,
            nu=self._nu,
            r="lipschitz",
            s_coupling=True,
            max_iter=self._problem.n_iterations,
            keep="last",
            eps_abs=0.0,
            eps_rel=0.0,
        )
        with np.errstate(all="ignore"):  # from extreme starts it may overflow; that is a finding
            solver.solve(self._network, self._images, self._labels, LOSS, on_epoch_end=self._measure)
        return self._points

    def _measure(self, record):
        self._move_test_images(record["r"])
        if record["epoch"] not in self._problem.points:
            return
        test = loss_and_accuracy(self._network.outputs(self._test), self._test_labels)
        auxiliary_test = loss_and_accuracy(self._of_test.O[-len(self._of_test.lambda1) :], self._labels_of_moved)
        values = {
            **named("auxiliary", "training", (record["auxiliary_loss"], record["auxiliary_accuracy"])),
            **named("auxiliary", "test", auxiliary_test),
            **named("rollout", "training", (record["rollout_loss"], record["training_accuracy"])),
            **named("rollout", "test", test),
        }
        self._points.append((record["epoch"], values))

    @property
    def _labels_of_moved(self):
        return self._test_labels[: len(self._of_test.lambda1)]

    def _move_test_images(self, r):
        at = SweepSettings(RHO, RHO, RHO, self._nu, r, coupled=True)
        self._kernels.sweep(self._of_test, at, b"osaaso", 0, self._of_test.n_steps)
        residuals = residuals_at_last_step(self._kernels, self._of_test, self._room)
        self._of_test.update_multipliers(at, *residuals)


def _part(sequences, which):
    """Some of the sequences of equal length, which follow one another."""
    lengths = sequences.lengths[which]
    first_row = sequences.first_rows[which][0]
    rows = slice(first_row, first_row + lengths.sum())
    return type(sequences).of_lengths(sequences.observations[rows], lengths)


def text_of_algorithm1(problem, nu, seed):
    """Algorithm 1 on one chunk of text an iteration, each from a fresh forward pass.

    Parameters
    ----------
    problem : Text
        Of the network, the length of a chunk and the evaluations.
    nu : float
        Penalty at t < N.
    seed : int
        Of the initial weights.

    Returns
    -------
    list of (iteration, dict)
        The evaluations, up to divergence if there is any.  The auxiliary loss is that of the chunks' o_t, after the
        update that pulls them to the characters that follow: on training text the mean over the iterations since the
        last evaluation; on the held-out text with the weights as they are.
    """
    codes, held_out, n_symbols = codes_of_text()
    data = problem.data()
    scheme = TextScheme(**vars(CHOSEN_TEXT) | {"nu": nu})
    network = new_character_network(n_symbols, problem.n_hidden, scheme.start, seed)
    trainer = CharacterTrainer(network, scheme, problem.length)
    points, auxiliary = [], []
    with backend.one_blas_thread(), np.errstate(all="ignore"):
        for iteration, loss in trainer.iterations(codes, problem.n_iterations):
            if not loss < DIVERGED_ABOVE:
                break
            auxiliary.append(trainer.auxiliary_loss)
            if iteration in problem.points:
                outputs = network.outputs(data.test, every_step=True)
                n = problem.n_training
                training, test = (
                    loss_and_accuracy(outputs[rows], data.test_targets[rows]) for rows in (slice(n), slice(n, None))
                )
                values = {
                    "auxiliary_training_loss": float(np.mean(auxiliary)),
                    "auxiliary_test_loss": _auxiliary_of_unseen(trainer, held_out),
                }
                values |= named("rollout", "training", training) | named("rollout", "test", test)
                points.append((iteration, values))
                auxiliary = []
    return points


def _auxiliary_of_unseen(trainer, codes):
    """The loss of o_t on the first chunks of a text whose characters o_t has seen and the weights have not."""
    losses, state = [], 0.0
    for first in range(0, max(_UNSEEN, trainer.length), trainer.length):
        _, state = trainer.read(codes[first : first + trainer.length + 1], state)
        trainer.update_variables()
        losses.append(trainer.auxiliary_loss)
    return float(np.mean(losses))
