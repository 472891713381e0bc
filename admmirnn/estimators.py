"""The scikit-learn estimators: validate, encode, solve, set attributes."""

import copy
import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from admmirnn import backend, validation
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.model import ElmanRNN
from admmirnn.solvers import SOLVERS


@dataclass(frozen=True)
class EpochState:
    """What a callback is given at the end of an epoch.

    Attributes
    ----------
    record : dict
        The epoch's entry of ``history_``.
    estimator : RNNClassifier
        With the weights of this moment: it can predict.
    """

    record: dict
    estimator: BaseEstimator


class RNNClassifier(ClassifierMixin, BaseEstimator):
    """Elman network that reads a sequence and names its class, trained by ADMM.

    s_t = f(U x_t + W s_{t-1} + b) from s_0 = 0, and the class with the largest output o = V s_N + c after the last
    step N, which may differ from sequence to sequence.

    Parameters
    ----------
    hidden_size : int, default=128
        Number of hidden units n, >= 1.
    activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}, default="tanh"
        f; leaky relu is 0.01 a below zero.
    penalty : float or "auto", default="auto"
        Weight of the penalty on W, >= 0; "auto" is 0.3 with "rollout" and 0 with "algorithm1".  With "rollout" a ridge:
        every iteration multiplies W by 1 - penalty times the radius in force; 0 may suit sequences of hundreds of
        steps, whose beginning W has to carry along.  With "algorithm1" that of Omega(W).
    penalties : dict or None, default=None
        Further penalties, and constraints, by the blocks they act on ("rollout" only): ``{"W": Lasso(1e-4)}`` makes
        many recurrent weights exactly zero, ``{"W": SpectralBall(0.9)}`` bounds the largest singular value,
        ``{"WV": GroupLasso(3e-3)}`` makes units that `prune` removes.  Keys are U, W, V, UW (the matrix [U W]), UWb
        ([U W b]) and WV ([W; V]), and no block may have two; values are objects of `admmirnn.penalties`, or any with
        ``prox(x, tau)``, which is given the matrix.  Their weights are in units of the mean loss; ``penalty`` is apart
        from them.
    solver : {"rollout", "algorithm1"} or solver object, default="rollout"
        ``"rollout"`` stands for `Rollout()`, ``"algorithm1"`` for `Algorithm1()`.
    max_epochs : int, default=20
        Passes over the training set, >= 1; with "algorithm1" its iterations.  The solver's ``max_iter``, a number of
        iterations, takes its place.
    batch_size : int or "auto", default="auto"
        Largest number of sequences in a minibatch, >= 1.  "auto" leaves it to the solver: "rollout" takes an eighth of
        the training set, at least 16 and at most 125, "algorithm1" all of it.
    init : dict, optional
        Initial weights by name, any of U (n, d), W (n, n), b (n,), V (K, n), c (K,), with K classes; the others are
        drawn: W orthogonal, U normal with variance 1/d, the rest zero; with "sigmoid" W times 4, U times 2 and b minus
        half the row sums of W, which makes it like tanh.
    dtype : {"float32", "float64"}, default="float32"
        Precision of weights and arithmetic.
    shuffle : bool, default=True
        Whether every epoch takes the sequences in a new order; with "algorithm1", whether they are put into batches at
        random, once.
    verbose : int, default=0
        1 shows a progress bar, 2 prints a line an epoch.
    random_state : int, RandomState or None, default=None
        Of the initial weights and the order of sequences.  With an int, two fits give bit-identical weights.
    scale : float, default=1.0
        What observations are multiplied by, > 0, in `fit` and in `predict`: 1/255 for images of bytes.  Integers of 8
        and 16 bits stay as they are until their minibatch is made, and so do float32 and float64; a memory-mapped
        file (`numpy.load` with ``mmap_mode="r"``) is read a minibatch at a time.
    n_threads : int or None, default=1
        Threads that share the sequences of a minibatch, in `fit` and in `predict`; None means all cores.  The result
        is reproducible for a given number; those for another one differ by rounding.
    callbacks : list of callable, optional
        Each is called with an `EpochState` at the end of every epoch, except one that diverged; training stops when one
        returns True.

    Attributes
    ----------
    U_, W_, b_, V_, c_ : ndarray of shape (n, d), (n, n), (n,), (K, n), (K,)
        The weights.
    classes_ : ndarray of shape (K,)
        The labels, sorted.
    history_ : list of dict
        One record an epoch: ``epoch``, ``rollout_loss``, ``training_accuracy``, ``seconds``, and what the solver adds.
        With "rollout" the loss and the accuracy are those of each minibatch before its update, and there are
        ``radius``, ``output_radius``, ``r``, ``output_r``, ``D_norm``, ``output_D_norm``, ``capped_steps``,
        ``damping_raised`` and ``rollbacks``; with "algorithm1" they are those of the training set after the
        iteration, and there are the augmented Lagrangian, the residuals and the auxiliary loss, see `Algorithm1`.
        `pandas.DataFrame(history_)` is a table.
    status_ : Status
        Why training stopped; its value is the message.
    status_detail_ : str or None
        What grew, if training diverged.
    n_iter_ : int
        Epochs done, the last one perhaps in part.
    n_features_in_ : int
        Features of an observation; of a 2-D X, the number of its columns (steps), as scikit-learn counts.

    See Also
    --------
    Rollout : The default solver and its settings.
    Algorithm1 : The paper's solver.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn import RNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(length, 2)) for length in rng.integers(5, 20, size=200)]
    >>> y = ["up" if x[-1, 0] > 0 else "down" for x in X]
    >>> model = RNNClassifier(hidden_size=16, random_state=0).fit(X, y)
    >>> model.predict(X[:3]).shape
    (3,)
    """

    def __init__(
        self,
        hidden_size=128,
        *,
        activation="tanh",
        penalty="auto",
        penalties=None,
        solver="rollout",
        max_epochs=20,
        batch_size="auto",
        init=None,
        dtype="float32",
        shuffle=True,
        verbose=0,
        random_state=None,
        scale=1.0,
        n_threads=1,
        callbacks=None,
    ):
        self.hidden_size = hidden_size
        self.activation = activation
        self.penalty = penalty
        self.penalties = penalties
        self.solver = solver
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.init = init
        self.dtype = dtype
        self.shuffle = shuffle
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.n_threads = n_threads
        self.callbacks = callbacks

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    def fit(self, X, y, sample_weight=None):
        """Train the network from new initial weights.

        Parameters
        ----------
        X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
            A list holds one array of shape (n_steps_i, n_features) a sequence, of any lengths; a 2-D X holds one
            feature.
        y : array-like of shape (n_sequences,), or (n_sequences, n_steps), or list of arrays of shape (n_steps_i,)
            Labels of any type that can be sorted: one a sequence, or one for each of its steps ("algorithm1" only).
        sample_weight : array-like of shape (n_sequences,), optional
            Weights >= 0 of the sequences in the loss, relative to the largest one; a sequence of weight 0 is left out.
            With "algorithm1" they weigh the losses only, not the penalties of the equations.

        Returns
        -------
        RNNClassifier
            self.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        settings = validation.check_estimator_settings(self, SOLVERS)
        if y is None:
            validation.check_labels(y, ())
        sequences, attributes = validation.read_sequences(self, X, settings.dtype, settings.scale)
        per_step = getattr(settings.solver, "takes_labels_per_step", False)
        classes, targets, form = validation.check_labels(y, sequences.lengths, per_step=per_step)
        weights = validation.check_sample_weight(sample_weight, len(sequences))
        sequences, classes, targets, weights = _with_weight(sequences, classes, targets, weights)
        network = self._initial_network(settings, sequences.n_features, len(classes))
        backend.kernels()

        attributes |= {"classes_": classes, "_activation": settings.activation, "_form_of_labels": form}
        attributes["_scale"] = settings.scale
        with _Progress(settings.verbose, _n_epochs(settings, len(sequences))) as progress:
            outcome = settings.solver.solve(
                network,
                sequences,
                targets,
                SoftmaxCrossEntropy(),
                weights=weights,
                penalty=settings.penalty,
                max_epochs=settings.max_epochs,
                batch_size=settings.batch_size,
                shuffle=settings.shuffle,
                random_state=settings.random_state,
                n_threads=settings.n_threads,
                on_epoch_end=lambda record: self._end_epoch(record, settings, attributes, network, progress),
                **({"penalties": settings.penalties} if settings.penalties else {}),
            )
        self._become_fitted(attributes, network)
        self.history_, self.status_, self.status_detail_ = outcome.history, outcome.status, outcome.detail
        self.n_iter_ = len(outcome.history)
        if outcome.warning is not None:
            warnings.warn(outcome.warning, ConvergenceWarning, stacklevel=2)
        return self

    def predict(self, X):
        """Return the label of every sequence, or of every step if ``y`` had one for each.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences,)
            Or of shape (n_sequences, n_steps), or a list of arrays of shape (n_steps_i,), as ``y`` was; a list
            whenever the lengths differ.
        """
        outputs, lengths = self._outputs(X)
        return self._in_the_form_of_labels(self.classes_[outputs.argmax(axis=1)], lengths)

    def predict_proba(self, X):
        """Return the probability of every class, in the order of ``classes_``.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences, n_classes)
            Or with the steps as second axis, or a list of arrays of shape (n_steps_i, n_classes), as in `predict`.
        """
        outputs, lengths = self._outputs(X)
        return self._in_the_form_of_labels(softmax(outputs, axis=1), lengths)

    def score(self, X, y, sample_weight=None):
        """Return the accuracy of `predict`: the share of right sequences, or of right steps.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`.
        y : array-like or list of arrays
            True labels, as in `fit`.
        sample_weight : array-like of shape (n_sequences,), optional
            Weights of the sequences.

        Returns
        -------
        float
        """
        from sklearn.metrics import accuracy_score  # here, as `ClassifierMixin.score` does: it is slow to import

        check_is_fitted(self)
        if self._form_of_labels == "sequence":
            return super().score(X, y, sample_weight)
        predicted = self.predict(X)
        lengths = np.array([len(labels) for labels in predicted])
        labels = validation.check_labels_per_step(y, lengths)
        weights = np.repeat(validation.check_sample_weight(sample_weight, len(lengths)), lengths)
        return accuracy_score(labels, np.concatenate(list(predicted)), sample_weight=weights)

    def prune(self):
        """Return an equal classifier without the units that its outputs never depend on.

        Units go whose outgoing weights are zero, or whose incoming ones and bias are, as `GroupLasso` and `Lasso` leave
        them behind; see `admmirnn.model.ElmanRNN.pruned`.

        Returns
        -------
        RNNClassifier
            Fitted; ``hidden_size`` is the number of units left, at least one, and ``init`` is None.  Its outputs are
            equal but for rounding.
        """
        network = self._network().pruned()
        pruned = copy.copy(self)
        pruned.hidden_size, pruned.init = network.n_hidden, None
        pruned._take_weights(network)
        return pruned

    def _in_the_form_of_labels(self, rows, lengths):
        """Cut one row a step into sequences, if there is one a step."""
        if self._form_of_labels == "sequence":
            return rows
        if self._form_of_labels == "array" and lengths.min() == lengths.max():
            return rows.reshape(len(lengths), lengths[0], *rows.shape[1:])
        return np.split(rows, np.cumsum(lengths)[:-1])

    def _initial_network(self, settings, n_features, n_classes):
        network = ElmanRNN.random(
            n_features,
            settings.hidden_size,
            n_classes,
            activation=settings.activation,
            dtype=settings.dtype,
            random_state=settings.random_state,
        )
        shapes = {name: weights.shape for name, weights in network.weights.items()}
        for name, values in validation.check_init(self.init, shapes, settings.dtype).items():
            network.weights[name][:] = values
        return network

    def _network(self):
        check_is_fitted(self)
        return ElmanRNN.of_weights(self.U_, self.W_, self.b_, self.V_, self.c_, activation=self._activation)

    def _outputs(self, X):
        network = self._network()
        sequences = validation.read_more_sequences(self, X, network.n_features, network.dtype, self._scale)
        n_threads = validation.check_n_threads(self.n_threads)
        outputs = network.outputs(sequences, every_step=self._form_of_labels != "sequence", n_threads=n_threads)
        return validation.check_outputs(outputs, sequences.lengths), sequences.lengths

    def _become_fitted(self, attributes, network):
        """Replace all attributes of an earlier fit at once."""
        vars(self).pop("feature_names_in_", None)
        vars(self).update(attributes)
        self._take_weights(network)

    def _take_weights(self, network):
        vars(self).update({f"{name}_": weights.copy() for name, weights in network.weights.items()})

    def _end_epoch(self, record, settings, attributes, network, progress):
        """Show the epoch and ask the callbacks whether to stop."""
        progress.show(record)
        if not settings.callbacks:
            return False
        self._become_fitted(attributes, network)
        return any([callback(EpochState(dict(record), self)) for callback in settings.callbacks])


def _with_weight(sequences, classes, targets, weights):
    """Leave out the sequences of weight zero, and the classes that only they have."""
    kept = weights > 0
    kept_targets = targets[kept if len(targets) == len(sequences) else np.repeat(kept, sequences.lengths)]
    validation.check_several_classes(classes, kept_targets)
    if kept.all():
        return sequences, classes, targets, weights
    sequences = replace(sequences, first_rows=sequences.first_rows[kept], lengths=sequences.lengths[kept])
    present, targets = np.unique(kept_targets, return_inverse=True)
    return sequences, classes[present], targets, weights[kept]


def _n_epochs(settings, n_sequences):
    """How many epochs a fit may take, the last one perhaps not to its end."""
    max_iter = getattr(settings.solver, "max_iter", None)
    if max_iter is None:
        return settings.max_epochs
    return -(-max_iter // settings.solver.iterations_per_epoch(n_sequences, settings.batch_size))


class _Progress:
    """A progress bar (verbose=1) or a line an epoch (verbose >= 2)."""

    def __init__(self, verbose, max_epochs):
        self._lines = verbose >= 2
        self._bar = None
        if verbose == 1:
            from tqdm.auto import tqdm  # looks for notebooks and asyncio, which no other fit needs

            self._bar = tqdm(total=max_epochs, unit="epoch", disable=False)  # whatever TQDM_DISABLE says
        if self._lines:
            print(f"{'epoch':>5}  {'roll-out loss':>13}  {'training accuracy':>17}  {'seconds':>7}")

    def show(self, record):
        """Show the record of an epoch."""
        if self._lines:
            print(
                f"{record['epoch']:5}  {record['rollout_loss']:13.4f}  {record['training_accuracy']:17.4f}  "
                f"{record['seconds']:7.2f}"
            )
        if self._bar is not None:
            self._bar.set_postfix(
                loss=f"{record['rollout_loss']:.4f}", accuracy=f"{record['training_accuracy']:.4f}", refresh=False
            )
            self._bar.update()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()
