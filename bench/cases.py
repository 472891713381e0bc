"""What is measured: sequences that can be learnt, the arguments of every kernel, and fits that go on when asked to."""

import threading
from functools import cache

import numpy as np

from admmirnn import Algorithm1, Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import (
    AbsoluteError,
    Hinge,
    Huber,
    Quantile,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
)
from admmirnn.networks import ElmanRNN
from admmirnn.networks.cells import GATED, Elman
from admmirnn.networks.start import new_network
from admmirnn.solvers.algorithm1.solver import BACKWARD, FORWARD
from admmirnn.solvers.algorithm1.variables import SweepSettings, Variables
from admmirnn.solvers.rollout.gram import FIRST_ITERATIONS
from admmirnn.solvers.rollout.state import Layer, Targets, Workspace
from bench.flops import Size
from bench.measure import backend_named

SMALL = Size(n=16, B=16, N=20, d=4, K=10)
MIDDLE = Size(n=128, B=125, N=28, d=28, K=10)
BROAD = Size(n=128, B=500, N=28, d=28, K=10)
LARGE = Size(n=512, B=250, N=28, d=28, K=10)
OF_ALGORITHM_1 = Size(n=128, B=100, N=28, d=28, K=10)
LOSSES = (
    SoftmaxCrossEntropy(),
    SquaredError(),
    SigmoidCrossEntropy(),
    Huber(0.5),
    Quantile(0.9),
    AbsoluteError(),
    Hinge(),
)
FOREVER = 10**9


@cache
def problem(size, dtype, n_batches=1):
    """Sequences of noise around a pattern of their class, and the classes; nobody may write to them."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, size.K, size.B * n_batches)
    patterns = rng.normal(size=(size.K, size.N, size.d))
    X = 0.5 * (patterns[y] + rng.normal(size=(len(y), size.N, size.d)))
    observations = np.ascontiguousarray(X.reshape(-1, size.d), dtype)
    observations.flags.writeable = y.flags.writeable = False
    return Sequences.of_lengths(observations, np.full(len(y), size.N)), y


def network_of(size, dtype, read_out="last", cell=None, n_layers=1):
    return new_network(
        size.d,
        (size.n,) * n_layers,
        size.K,
        cell=cell or Elman(),
        dtype=np.dtype(dtype),
        random_state=np.random.RandomState(0),
        read_out=read_out,
    )


def calls(kernels, size, dtype, gram_first=1, gram_every=4):
    """For every kernel that takes arrays, its arguments, with arrays of their own to write to."""
    sequences, y = problem(size, dtype)
    n, B, K = size.n, size.B, size.K
    network, batch, rng = network_of(size, dtype), sequences.minibatch(np.arange(B)), np.random.default_rng(1)

    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    def room(*shape):
        return np.zeros(shape, dtype)

    Theta, Psi = network.Theta, normal(K, n + 1) / np.sqrt(n).astype(dtype)
    targets = Targets(SoftmaxCrossEntropy())
    network.Psi[:] = Psi
    work = Workspace(kernels, network, "last", sequences, B, targets, with_R=True)
    ones = np.ones(B, dtype)
    work.load(batch, sequences.first_steps, y.astype(np.intp), None)
    labels, values = y.astype(np.intp), rng.uniform(size=(B, K)).astype(dtype)  # from 0 to 1, as labels may be
    forward = (work.work, work.kernel_batch, None, None, targets)
    kernels.forward(*forward)
    backward = (work.work, work.kernel_batch, work.lambda3, ones, 1.0, gram_first, gram_every, gram_every)
    kernels.backward(*backward)
    layer = Layer(Theta.copy(), 0.01, matrix_penalty=True)
    of_layer = kernels.linear_map(layer, room(layer.room))
    kernels.fold(work.work, of_layer, 0.0, 0.0)
    weight_step = (of_layer, 0.1, 1.0, 0.01, 1.0)
    output = Layer(Psi.copy(), 0.03)
    of_output = kernels.linear_map(output, room(output.room))
    generate = (
        K, [ElmanRNN(normal(n, K + n + 1) / np.sqrt(n).astype(dtype), Psi)], Psi, np.zeros(size.N, np.int32), 1.0,
        rng.uniform(size=size.N), room(n), np.zeros(size.N, np.int32),
    )  # fmt: skip
    joint = (
        work.work, work.kernel_batch, work.states_read.copy(), n, work.lambda3, ones, gram_first, gram_every,
        room(kernels.joint_room(2 * n + 1, K)), np.zeros(kernels.counts_room(network.cell, n, False)),
    )  # fmt: skip
    return {
        "joint_sums": joint,
        "mirror": (work.S[B:], work.kernel_batch, room(size.rows, n)),
        "forward": forward,
        "backward": backward,
        "fold": (work.work, of_layer, 0.8, 0.9, 0.9),
        "fold_outputs": (of_output, work.output_sums, work.output_counts, 0.8, 0.9),
        "weight_step": weight_step,
        "move_weights": (of_layer, 1e-3, 0.999),
        "generate": generate,
        **calls_of_cells(kernels, size, normal),
        **{
            f"{kernel} {loss.name}": (
                *(2 * normal(B, K), *((labels, None) if loss.takes_labels else (None, values)), ones),
                *((1.0, room(B, K), room(B, K)) if kernel == "o_step" else ()),
                *(loss.name, loss.parameter),
            )
            for kernel in ("o_step", "loss_value")
            for loss in LOSSES
        },
    }


def calls_of_cells(kernels, size, normal):
    """The same for the step of each cell with gates, and the way back, for a row for each sequence."""
    found, (n, B) = {}, (size.n, size.B)
    for name, cell in GATED.items():
        of = cell()
        c, biases = (normal(B, n) if of.has_cell_state else None), (normal(2 * n) if of.n_biases else None)
        following = None if c is None else np.empty_like(c)
        kept = normal(B, of.n_kept * n)
        step = (of, kept, normal(B, n), biases, c, np.empty((B, n), kept.dtype), following)
        found[f"step_rows {name}"] = step
        kernels.step_rows(*step)
        found[f"pull_back_rows {name}"] = (
            of,
            kept.copy(),
            step[2],
            c,
            following,
            normal(B, n),
            None if c is None else c.copy(),
            np.empty((B, n), kept.dtype) if of.n_biases else None,
        )
    return found


def calls_of_algorithm1(kernels, size, dtype):
    """The same for the kernels of Algorithm 1, with one label for each sequence."""
    sequences, y = problem(size, dtype)
    network, rng = network_of(size, dtype), np.random.default_rng(1)
    variables = Variables.of_sequences(
        kernels, network, sequences, np.arange(size.B), y.astype(np.intp), np.ones(size.B), SoftmaxCrossEntropy()
    )
    variables.roll_out(kernels, network.activation)
    at = SweepSettings(rho1=1.0, rho2=1.0, rho3=1.0, nu=0.1, r=100.0)
    alpha, target = rng.normal(size=(2, size.rows, size.n)).astype(dtype)
    out = [np.empty_like(block) for block in (alpha, alpha, variables.O)]
    return {
        "sweep": (variables, at, BACKWARD + FORWARD, 0, variables.n_steps),
        "a_step": (alpha, target, 1.3, 0.7, network.activation, np.empty_like(alpha)),
        "residuals": (variables, network.activation, *out),
        "roll_out": (size.d, size.n, network.Theta, variables.offsets, network.activation, variables.Z.copy()),
    }


class Training:
    """A fit that stands still at the end of every epoch, until `epoch` asks for the next one.

    The solver runs in a thread of its own, through its public ``solve``, so an epoch is all that a user's epoch is:
    taking minibatches, the iterations, the record.

    Parameters
    ----------
    size : Size
        Of a minibatch.
    dtype : str
        Of the arithmetic.
    n_batches : int
        Minibatches in an epoch.
    backend_name : {"compiled", "numpy"}
        The back end.
    solver : Rollout or Algorithm1, optional
        Rollout, with steps that do not become shorter, by default.
    read_out : {"last", "mean", "max"}
        Of the network.
    every_step : bool
        Whether there is a target for each step.
    loss : object, optional
        Cross-entropy of the classes by default; with a loss of values the network learns the first K features of the
        step, or of the last one.
    cell : object, optional
        That of an Elman network by default.
    n_layers : int
        Layers of ``size.n`` units each.
    **options
        Further ones of ``solve``.
    """

    def __init__(
        self,
        size,
        dtype="float32",
        n_batches=1,
        backend_name="compiled",
        solver=None,
        read_out="last",
        every_step=False,
        loss=None,
        cell=None,
        n_layers=1,
        **options,
    ):
        self._n_batches, self._network = n_batches, network_of(size, dtype, read_out, cell, n_layers)
        self._loss = loss or SoftmaxCrossEntropy()
        sequences, targets = problem(size, dtype, n_batches)
        if not self._loss.takes_labels:
            targets = sequences.observations[:, : size.K]
            targets = targets if every_step else targets[size.N - 1 :: size.N]
        elif every_step:
            targets = np.repeat(targets, size.N)
        self._problem = sequences, targets
        self._solver = solver or Rollout(schedule="constant")
        self._options = {"batch_size": size.B, "random_state": 0} | options
        self._backend_name = backend_name
        self._one_blas_thread = backend.one_blas_thread()
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._stopped, self._error, self._record = False, None, None
        self._thread = threading.Thread(target=self._solve, daemon=True)
        self._thread.start()

    def __enter__(self):
        # here: threadpoolctl heeds the first thread that limits OpenBLAS, and no other one as long as that lives
        self._one_blas_thread.__enter__()
        first = FIRST_ITERATIONS if isinstance(self._solver, Rollout) else 1
        for _ in range(-(-first // self._n_batches)):  # these find their memory, and take more into G and R
            self.epoch()
        return self

    def __exit__(self, *_):
        self._stopped = True
        with backend_named(self._backend_name):
            self._go.release()
            self._thread.join()
        self._one_blas_thread.__exit__(None, None, None)

    def epoch(self):
        """Train for one epoch.

        Raises
        ------
        RuntimeError
            If the fit has ended, or has gone back to earlier weights, which is not what an iteration usually costs.
        """
        with backend_named(self._backend_name):
            self._go.release()
            self._done.acquire()
        if self._error is not None:
            raise self._error
        if self._record.get("rollbacks"):
            raise RuntimeError("the network was lost during a measurement: its times are not those of an iteration")

    def _solve(self):
        self._go.acquire()
        try:
            self._solver.solve(
                self._network, *self._problem, self._loss, max_epochs=FOREVER,
                on_epoch_end=self._pause, **self._options,
            )  # fmt: skip
            self._error = RuntimeError(f"the fit has ended after epoch {self._record['epoch']}")
        except BaseException as error:
            self._error = error
        self._done.release()

    def _pause(self, record):
        self._record = record
        self._done.release()
        self._go.acquire()
        return self._stopped


def still():
    """Rollout that hardly moves, because of noise there is nothing to learn; its iterations cost what others do."""
    return Rollout(schedule="constant", radius=1e-4, output_radius=1e-4)


def algorithm1():
    """Algorithm 1 with a proximal weight that does not diverge, and no end."""
    return Algorithm1(r=100.0, eps_abs=0.0, eps_rel=0.0, keep="last")
