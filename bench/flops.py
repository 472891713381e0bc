"""How many arithmetic operations an iteration has to make: what every GFLOP/s of this project is computed from.

An addition and a multiplication count one each.  Only what the mathematics asks for is counted, at sequences of equal
length: not the activations and the losses, not what a kernel computes twice, adds up over threads or moves about, and
not products with states that are zero because a sequence starts there.  m = d + n + 1.

Iterations are those from the tenth on: G and R take as many states as the solver has them take then, and the Cholesky
factor of G serves in two of them.
"""

from dataclasses import dataclass

from admmirnn import Rollout
from admmirnn.solvers.rollout.gram import interval_of_G, interval_of_R

FACTOR_EVERY = Rollout().factor_every


@dataclass(frozen=True)
class Size:
    """n hidden units, B sequences of N steps of d features, K outputs."""

    n: int
    B: int
    N: int
    d: int
    K: int

    def __str__(self):
        return f"n={self.n} B={self.B} N={self.N} d={self.d} K={self.K}"

    @property
    def m(self):
        """Length of z_t = [x_t, s_{t-1}, 1]."""
        return self.d + self.n + 1

    @property
    def rows(self):
        """Steps of all sequences."""
        return self.B * self.N

    @property
    def later_rows(self):
        """Steps of all sequences after their first ones, where s_{t-1} is not zero."""
        return self.B * (self.N - 1)


def roll_out(size):
    """Roll the network out: a_t = [U b] [x_t, 1] + W s_{t-1}.

    2 n (d + 1) a row; 2 n^2 a row after the first step.
    """
    return 2 * size.n * (size.d + 1) * size.rows + 2 * size.n**2 * size.later_rows


def read_out(size):
    """q = V s_N + c: 2 n K a sequence."""
    return 2 * size.n * size.K * size.B


def forward(size):
    """The forward sweep: the roll-out and the read-out."""
    return roll_out(size) + read_out(size)


def multipliers(size):
    """lambda1_N from V^T lambda3, lambda1_t from W^T lambda1_{t+1}.

    2 n K a row of the last step; 2 n^2 a row of the others.
    """
    return 2 * size.n * size.K * size.B + 2 * size.n**2 * size.later_rows


def products(size):
    """L = sum lambda1_t z_t^T: 2 n (d + 1) a row; 2 n^2 a row after the first step."""
    return 2 * size.n * (size.d + 1) * size.rows + 2 * size.n**2 * size.later_rows


def gram(size, first, every):
    """The lower triangle of G = sum z_t z_t^T over the steps ``first``, ``first + every``, ...

    m (m + 1) a row of these steps: (d + 1)(d + 2) for [x_t, 1] with itself, 2 n (d + 1) for s_{t-1} with it, n (n + 1)
    for s_{t-1} with itself; the last two not at the first step.
    """
    steps = len(range(first, size.N, every))
    of_inputs = (size.d + 1) * (size.d + 2)
    of_states = size.m * (size.m + 1) - of_inputs
    return size.B * (of_inputs * steps + of_states * (steps - (first == 0)))


def gram_of_multipliers(size, every):
    """The lower triangle of R = sum lambda1_t lambda1_t^T over one row of ``every``: n (n + 1) each."""
    return size.n * (size.n + 1) * size.rows / every


def output_statistics(size):
    """The statistics of the read-out.

    2 n K + K a sequence for sum lambda3 h^T, n (n + 1) + n for the lower triangle of sum h h^T, h = [s_N, 1].
    """
    return size.B * (2 * size.n * size.K + size.K + size.n * (size.n + 1) + size.n)


def backward(size, first, every, every_of_R=None):
    """The backward sweep: multipliers, L, G and R of the hidden layer, and both statistics of the read-out.

    G takes one step of ``every``, from ``first`` on, and R one state of ``every_of_R``, by default as many.
    """
    of_hidden = products(size) + gram(size, first, every) + gram_of_multipliers(size, every_of_R or every)
    return multipliers(size) + of_hidden + output_statistics(size)


def factorisation(order):
    """Cholesky factor of a matrix of this order: order^3 / 3."""
    return order**3 / 3


def weight_step(m, p, factor_every=FACTOR_EVERY):
    """D = P^-1 M (G + shift)^-1 of p rows: m^3 / 3 and 2 m^2 p for G, p^3 / 3 and 2 p^2 m for P.

    G is factorised in one iteration of ``factor_every``.
    """
    return factorisation(m) / factor_every + 2 * m**2 * p + factorisation(p) + 2 * p**2 * m


def output_step(size):
    """That of the read-out, with P = I: h^3 / 3 and 2 h^2 K with h = n + 1."""
    h = size.n + 1
    return factorisation(h) / FACTOR_EVERY + 2 * h**2 * size.K


def solves(size):
    """Those of the hidden layer and of the read-out."""
    return weight_step(size.m, size.n) + output_step(size)


def taken(size, every):
    """Of how many steps G takes one, and R of how many states, where ``every`` are asked for."""
    every = min(every, size.N)
    of_R = interval_of_R(every, size.rows, size.N, size.n)
    return interval_of_G(every, size.rows, size.n), of_R


def iteration(size, every=8):
    """One iteration of `Rollout`: forward, backward, solves; as the mean over which step G starts at."""
    of_G, of_R = taken(size, every)
    mean_backward = sum(backward(size, first, of_G, of_R) for first in range(of_G)) / of_G
    return forward(size) + mean_backward + solves(size)


def iteration_of_cell(size, cell, every=4):
    """One iteration of `Rollout` of a network with gates, counted as `iteration` counts that of an Elman network.

    A map with p rows and m columns makes 2 p times as many products as it reads numbers, in the roll-out and in L, and
    2 p n for W^T; its R takes p (p + 1) a row of those that it takes, and then there is its step.  A row of FastGRNN's
    has part in two equations, for both of which R is.
    """
    (of_G, of_R), n_equations = taken(size, every), 2 if cell.name == "fastgrnn" else 1
    total = 2 * read_out(size) + output_statistics(size) + output_step(size)
    total += sum(gram(size, first, of_G) for first in range(of_G)) / of_G
    for of in cell.maps:
        parts, p = [part for part, _ in of.columns], of.rows_per_unit * size.n
        m = parts.count("x") * size.d + parts.count("s") * size.n + parts.count("1")
        of_inputs = parts.count("x") * (size.d + 1) * size.rows + parts.count("s") * size.n * size.later_rows
        total += 4 * p * of_inputs + 2 * p * parts.count("s") * size.n * size.later_rows
        total += n_equations * p * (p + 1) * size.rows / of_R + weight_step(m, p)
    return total


def residuals(size):
    """The residuals of Algorithm 1: 2 n m a row for a_t - Theta z_t, 2 K (n + 1) a row for o_t - Psi h_t."""
    return size.rows * (2 * size.n * size.m + 2 * size.K * (size.n + 1))


def roll_out_of_all_rows(size):
    """The roll-out of Algorithm 1, whose s_0 need not be zero: 2 n m a row."""
    return 2 * size.n * size.m * size.rows


def training_by_gradients(size):
    """What PyTorch's nn.RNN has to make, for comparison: forward, W^T times gradient, and the gradients of the weights.

    4 n K a sequence for the read-out going back; the optimiser is not counted.
    """
    return forward(size) + multipliers(size) + products(size) + 2 * size.n * size.K * size.B
