"""Algorithm 1 on chunks of characters: the schemes to update by, and what updates."""

from dataclasses import dataclass

import numpy as np

from admmirnn import backend
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.algorithm1.variables import SweepSettings
from bench.paper.common import LOSS, residuals_at_last_step, sequences_of, variables_of

CHUNK = 25

DIVERGED_ABOVE = 1e3  # nats per character


@dataclass(frozen=True)
class TextScheme:
    """One way to update on a chunk; see `CharacterTrainer`.

    Attributes
    ----------
    label : str
        For tables.
    derived : bool
        Signs that follow from the augmented Lagrangian; otherwise the printed ones, and lambda -= rho residual.
    division : float
        By what o, c, V, s, b, W and U are divided after their updates, and the multipliers.
    rho, nu, r : float
        rho1 = rho2 = rho3; penalty at t < N; proximal weight, that of U, W, V times the steps of a chunk.
    nu_of_W, r_of_weights : float, optional
        Others for the W-step, and for U, W, V.
    linearised : bool
        The o-step linearises R.
    keeps_multipliers : bool
        Whether a chunk begins with the multipliers that the one before has left.
    start : {"small", "orthogonal"}
        U, W, V from 0.01 times normal, as the authors draw them, or U and W as the package does.
    """

    label: str
    derived: bool = True
    division: float = 1.0
    rho: float = 0.025
    nu: float = 1e-8
    r: float = 1.0
    nu_of_W: float | None = None
    r_of_weights: float | None = None
    linearised: bool = True
    keeps_multipliers: bool = True
    start: str = "small"

    def settings(self, block):
        """Penalties and options of a block's update."""
        nu, r = self.nu, self.r
        if block == "W" and self.nu_of_W is not None:
            nu = self.nu_of_W
        if block in "VWU" and self.r_of_weights is not None:
            r = self.r_of_weights
        return SweepSettings(self.rho, self.rho, self.rho, nu, r, derived=self.derived, linearised=self.linearised)


RELEASED_TEXT = TextScheme(
    "as released: printed signs, divided by 10", derived=False, division=10.0, nu_of_W=0.1, r_of_weights=1 / CHUNK
)


class CharacterTrainer:
    """Algorithm 1 as the authors' rnn_text.py uses it, one chunk per iteration, from the kernels' block updates.

    A chunk begins with a forward pass from the state in which the forward pass of the one before has ended; then every
    block is updated for all t in turn, o c V s a b W U and U W b a s V c o, and the multipliers.

    What differs from the released code with its parameters: the o-step at t = N linearises R at V s_N + c + lambda3 /
    rho3 instead of at the forward pass (the same at the first o-step but for lambda3); the a-step is the proximal one
    instead of a gradient step in the direction of ascent; s_N has no term in f(a_N), and s_t at t < N keeps r / (r +
    nu) of itself instead of (N - 2) / (N - 1) of that.

    Parameters
    ----------
    network : ElmanRNN
        Trained in place.
    scheme : TextScheme
        How.
    length : int
        Characters of a chunk.
    """

    def __init__(self, network, scheme, length=CHUNK):
        self.network, self.scheme, self.length = network, scheme, length
        self.kernels = backend.kernels()
        empty = np.zeros((1, length, network.n_features), network.dtype)
        self.variables = variables_of(self.kernels, network, sequences_of(empty), np.zeros(length, np.intp))
        self.settings = {block: scheme.settings(block) for block in "ocVsabWU"}
        self.room = [np.empty_like(values) for values in self.variables.blocks]

    def read(self, codes, state):
        """Forward pass over the characters before the last; return its loss for the ones that follow, and s_N."""
        v, d = self.variables, self.network.n_features
        v.Z[:-1, :d] = 0
        v.Z[np.arange(self.length), codes[:-1]] = 1
        v.Z[:1, d:-1] = state
        v.labels[:] = codes[1:]
        v.roll_out(self.kernels, self.network.activation)
        return v.loss_of_outputs(self.kernels, LOSS)[0], v.H[-1:, :-1].copy()

    @property
    def auxiliary_loss(self):
        """The loss of o_t, which an update has pulled towards the characters that follow."""
        return self.variables.loss_of_outputs(self.kernels, LOSS)[0]

    def iterations(self, codes, n_iterations):
        """Step along the text, one chunk per iteration; yield the iteration, from 1, and the loss before its update.

        A loss of `DIVERGED_ABOVE` or more is the last one, and there is no update to it.
        """
        position, state = 0, 0.0
        for iteration in range(1, n_iterations + 1):
            if position + self.length + 1 >= len(codes):
                position, state = 0, 0.0
            loss, state = self.read(codes[position : position + self.length + 1], state)
            if not loss < DIVERGED_ABOVE:
                yield iteration, loss
                return
            self.update()
            yield iteration, loss
            position += self.length

    def update(self):
        """One sweep over the blocks, and the multipliers."""
        scheme, v = self.scheme, self.variables
        self._sweep("ocVsabWU" + "UWbasVco")
        for multiplier, residual in zip(v.multipliers, residuals_at_last_step(self.kernels, v, self.room), strict=True):
            if scheme.keeps_multipliers:
                multiplier += (scheme.rho if scheme.derived else -scheme.rho) * residual
                multiplier /= scheme.division

    def update_variables(self):
        """The sweep over o_t, s_t and a_t alone: of characters from which the weights are not to learn."""
        self._sweep("osaaso")

    def _sweep(self, blocks):
        for block in blocks:
            last = self.length if block in "osa" else 1
            self.kernels.sweep(self.variables, self.settings[block], block.encode(), 0, last)
            if self.scheme.division != 1:
                self._divide(block)

    def _divide(self, block):
        v, d = self.variables, self.network.n_features
        if block == "o":
            v.O /= self.scheme.division
        elif block == "s":
            v.H[:, :-1] /= self.scheme.division
            v.Z[1:, d:-1] = v.H[:, :-1]  # all but s_0
        elif block in "cVbWU":
            self.network.weights[block][:] /= self.scheme.division


def new_character_network(n_symbols, n_hidden, start, seed):
    """A float64 network with the given start; 1/nu = 1e8 leaves float32 no digits."""
    rng = np.random.RandomState(seed)
    network = ElmanRNN.random(n_symbols, n_hidden, n_symbols, dtype=np.float64, random_state=rng)
    if start == "small":
        for name in "UW":
            network.weights[name][:] = 0.01 * rng.standard_normal(network.weights[name].shape)
    network.weights["V"][:] = 0.01 * rng.standard_normal(network.weights["V"].shape)
    return network
