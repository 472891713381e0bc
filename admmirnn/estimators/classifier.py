"""RNNClassifier: what labels are as targets, and what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from admmirnn import validation
from admmirnn._typing import (
    Activation,
    Array,
    BoolArray,
    CellName,
    CustomLoss,
    FilePath,
    FloatArray,
    Frame,
    IntArray,
    LossOfClasses,
    ProximalOperator,
    RandomState,
    ReadOut,
    Reducer,
    Self,
    SolverName,
    TargetsOf,
    TorchModule,
)
from admmirnn.data.indexed import by_series
from admmirnn.data.labels import as_labels, check_comparable, check_label_column, differs
from admmirnn.data.reading_targets import (
    check_class_weight,
    check_classes,
    check_form,
    check_indicators,
    check_labels,
    check_labels_of_sequences,
    check_labels_per_step,
    check_sample_weight,
    check_several_classes,
    check_weights_of_score,
    classes_there,
    numbers_of_classes,
    weights_of_present,
)
from admmirnn.data.sequences import Sequences
from admmirnn.data.targets import Targets
from admmirnn.estimators.agreement import Agree, agree_on_indicators, agree_on_labels
from admmirnn.estimators.base import (
    FITTED,
    FITTED_OF_SEQUENCES,
    RecurrentEstimator,
    Trace,
    can_go_on,
    check_y_is_there,
)
from admmirnn.estimators.layers import estimator_of_layers
from admmirnn.estimators.settings import EstimatorSettings
from admmirnn.export import Exports
from admmirnn.files import models
from admmirnn.files.fitted import Fitted
from admmirnn.losses import LOSSES_OF_CLASSES, AnyLoss, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, loss_of
from admmirnn.solvers.capability import Capability
from admmirnn.solvers.interface import Solver
from admmirnn.streaming import Answer, ReadsStreams
from admmirnn.watching import Callback

if TYPE_CHECKING:
    from admmirnn._typing import available_if
else:
    from sklearn.utils.metaestimators import available_if


def _has_probabilities(classifier: RNNClassifier) -> bool:
    loss, smooth = classifier.loss, (SoftmaxCrossEntropy, SigmoidCrossEntropy)
    if isinstance(loss, smooth) or (isinstance(loss, str) and LOSSES_OF_CLASSES.get(loss) in smooth):
        return True
    raise AttributeError(f"loss is {loss!r}, which has no probabilities; use decision_function")


@models.saved
class RNNClassifier(ClassifierMixin, ReadsStreams, Exports, RecurrentEstimator):
    """Recurrent network that reads a sequence and names its class, trained by ADMM.

    The cell of the network makes the state s_t of the observation x_t and of the state before, s_{t-1}: of "elman" it
    is s_t = f(U x_t + W s_{t-1} + b), from s_0 = 0.  The prediction is the class with the largest output
    o = V s_N + c after the last step N, which may differ from sequence to sequence.

    Parameters
    ----------
    hidden_size : int or sequence of int, default=128
        Number of hidden units n, >= 1.  A sequence has the number of each layer; every layer reads the states of the
        one below it ("rollout" only).
    cell : {"auto", "elman", "fastgrnn", "ugrnn", "gru", "lstm"}, default="auto"
        Kind of cell.  "elman" is the network of the paper; the others have gates, which say how much of the state
        before is kept, and need "rollout".  "fastgrnn" has two gates with the same U and W and costs hardly more than
        "elman"; "ugrnn" has two pairs of U and W, "gru" three and "lstm" four.  "auto" is "fastgrnn", or "elman" if
        another argument asks for it: an ``activation`` other than "tanh", the solver "algorithm1", or a name in
        ``init`` or ``penalties`` that no other cell has, such as b or UWb.
    activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}, default="tanh"
        Activation f of "elman".  The slope of the leaky relu below zero is 0.01.
    penalty : float or "auto", default="auto"
        Weight of the ridge, >= 0.  With "rollout", every iteration multiplies U and W by 1 - penalty times the distance
        by which it moves the pre-activations.  "auto" is 6 times the square root of the number of units (at least
        128), divided by the number of training targets, and at most 2: few targets are easily learnt by heart.  In
        `partial_fit` "auto" is 0.5.  Try 0 for sequences of hundreds of steps, whose beginning W has to carry along.
        (`Rollout` says what the number means where its ``metric`` is "identity".)  With "algorithm1" it is the weight
        of Omega(W), and "auto" is 0.
    penalties : dict or None, default=None
        Further penalties and constraints ("rollout" only), by the name of the weights they act on.  ``{"W":
        Lasso(1e-4)}`` makes many recurrent weights exactly zero, ``{"W": SpectralBall(0.9)}`` bounds the largest
        singular value, and ``{"WV": GroupLasso(3e-3)}`` makes units that `prune` removes.  Keys are U, W, V, UW (the
        matrix [U W]), UWb ([U W b]) and WV ([W; V]); no weight may be in two of them.  Values are objects of
        `admmirnn.penalties`, or any object with ``prox(x, tau)``, which is given the matrix.  Their weights are in
        units of the mean loss.  ``penalty`` acts besides them.  A penalty acts on each direction, each layer and each
        gate separately: W is the matrix of every gate, W_z that of one gate, and WV has the W of all gates.  "gru" has
        no UW, "gru" and "fastgrnn" have no UWb, and several layers have no WV.
    solver : {"rollout", "algorithm1"} or solver object, default="rollout"
        Algorithm that trains the network: ``"rollout"`` stands for `Rollout()`, ``"algorithm1"`` for `Algorithm1()`.
    max_epochs : int or "auto", default="auto"
        Number of passes over the training set, >= 1; of iterations with "algorithm1".  "auto" is 20, or with "rollout"
        the number that makes 100 minibatches, if 20 passes make fewer: a single long series is one minibatch per pass.
        The solver's ``max_iter``, a number of iterations, takes its place if it is given.
    batch_size : int or "auto", default="auto"
        Largest number of sequences in a minibatch, >= 1.  "auto" depends on the solver: "rollout" takes an eighth of
        the training set, at least 16 and at most 125, or at most 64 where a cell with gates reads sequences of 200
        steps and more with one target each; "algorithm1" takes all of it.
    readout : {"last", "mean", "max"}, default="last"
        State that the outputs are computed from: the last one, or for each unit the mean or the largest value over all
        steps (these two with "rollout" only).
    frame : int, tuple of int, or None, default=None
        Pair (length, stride): a step reads ``length`` consecutive observations as one vector, and the next step starts
        ``stride`` observations later.  One number stands for both.  The last frame ends with the sequence.  Labels of
        steps are then one per frame.
    bidirectional : bool, default=False
        Whether a second network with as many units reads the sequence from its end; the outputs are computed from the
        states of both ("rollout" only, without ``s_0`` and ``stateful``).  At step t the state of the second network
        has read the steps from the last one down to t.  With several layers, both directions of a layer read both
        directions of the layer below.
    dropout : float or "auto", default="auto"
        Probability, >= 0 and < 1, with which a unit is hidden from the outputs or from the layer above while the
        network is trained ("rollout" only).  The units that are seen are 1 / (1 - dropout) times as large.  The hidden
        units are drawn for each sequence of a minibatch, or for each chunk of a stream, and are the same at all of its
        steps.  Predictions, scores and the loss on validation data see all units; ``rollout_loss`` and
        ``training_accuracy`` do not.  "auto" is 0.3 where ``stateful="auto"`` reads streams, and 0 elsewhere.
    augment : dict or None, default=None
        Random changes of the sequences of every minibatch in `fit` ("rollout" only, and not with ``stateful=True``), by
        name; all are >= 0, and 0 unless given.  ``noise`` is the standard deviation of normal noise that is added to
        each observation, as a share of the feature's own.  ``scale`` is the standard deviation of the logarithm of a
        factor, one for each sequence and feature, by which the differences from the feature's mean are multiplied.
        ``shift``, < 1, is the largest share of its steps that a sequence loses at its beginning or at its end, where
        there is one target per sequence.  Predictions, scores and validation data use the sequences as they are;
        ``rollout_loss`` and ``training_accuracy`` do not.
    s_0 : "learn", array-like of shape (n,) or None, default=None
        State before the first step: "learn" learns it, starting from zero; an array is taken as it is; None is zero
        (the first two with "rollout" only).  Several layers take a list of arrays.  With "learn" the cell state of
        "lstm" is learnt too; otherwise it is zero.
    stateful : bool or "auto", default="auto"
        Whether sequences are long streams with a label for each step, which are trained chunk by chunk ("rollout"
        only).  `fit` cuts them into ``batch_size`` streams ("auto" means 16, or fewer of at least four chunks).  A
        minibatch is the next chunk of each stream and starts from the states in which the chunk before has ended;
        multipliers end at the border of a chunk.  A longer sequence needs at most 12 bytes per step besides X and y.
        `predict` reads whole sequences from s_0.  "auto" is True in `fit` if there are fewer than 16 sequences with
        one label for each step, the longest one has at least 1,000 steps, and neither ``bidirectional``, ``augment``
        nor ``reducer`` ask for whole sequences.  It is False elsewhere, and in `partial_fit`.
    chunk_size : int, default=25
        Number of steps of such a chunk, >= 1.
    init : dict, optional
        Initial weights by name, any of U (n, d), W (n, n), b (n,), V (K, n) and c (K,) for K classes; for other cells,
        layers and directions the names of the attributes without their last underscore, such as W_z_2_reverse.  With
        ``bidirectional=True`` V is (K, 2 n).  Weights that it does not name are drawn: W is orthogonal, U normal with
        variance 1/d, or in upper layers 4 divided by the number of states it reads, and the others are zero.  With
        "sigmoid" W is multiplied by 4 and U by 2, and b is minus half the row sums of W, which makes the network behave
        as one with tanh.  With ``s_0="learn"`` s_0, and c_0 of "lstm", are among the names, and zero unless given.
    forget_bias : float, "chrono" or "auto", default="auto"
        Initial bias of the gate that keeps the past: b_z, or b_f of "lstm"; "elman" has none.  "chrono" draws the
        logarithm of numbers between 1 and T - 1 for sequences of T steps (their median, or ``chunk_size`` with
        ``stateful=True``), so that units keep their values for about that many steps; b_i of "lstm" is minus that.
        "auto" is "chrono" for sequences of 200 steps or more with one target each, and otherwise 1.
    dtype : {"float32", "float64"}, default="float32"
        Precision of weights and arithmetic.
    shuffle : bool, default=True
        Whether every epoch takes the sequences in a new order; with "algorithm1", whether they are put into batches at
        random, once.
    verbose : int, default=0
        Amount of output: 0 is silent, 1 shows a progress bar, 2 prints a line per epoch.
    random_state : int, RandomState or None, default=None
        Seed for the initial weights, the order of sequences, dropout and ``augment``.  With an int, two fits give
        bit-identical weights.
    scale : float, default=1.0
        Factor, > 0, by which observations are multiplied in `fit` and in `predict`: 1/255 for images of bytes.
        Integers of 8 and 16 bits, float32 and float64 stay as they are until their minibatch is made, and a
        memory-mapped file (`numpy.load` with ``mmap_mode="r"``) is read one minibatch at a time.
    standardize : bool or "auto", default="auto"
        Whether the network reads features brought to mean 0 and standard deviation 1.  The means and standard
        deviations are those of the training set in the first call (``feature_mean_``, ``feature_scale_``); a constant
        feature becomes 0.  "auto" leaves a feature as it is if its mean is between -1 and 1 and its deviation between
        0.5 and 2, if it is within [0, 1] and varies by at least 0.5, such as a share or a flag, or if it is constant
        and within [-2, 2]; it leaves all features as they are where ``scale`` is given.
    missing : {"refuse", "forward", "indicator"}, default="refuse"
        Treatment of missing observations (NaN, None, pandas.NA, NaT, or masked).  "refuse" raises an error.  "forward"
        carries the last value of the feature on, and takes ``fill_values_`` before the first one.  "indicator" does the
        same and adds one feature for each feature, which is 1 where the value was missing.  A memory-mapped file with
        missing observations is copied into memory for it.
    n_threads : int or None, default=1
        Number of threads that share the sequences of a minibatch, in `fit` and in `predict`; None means all cores.
        Results are reproducible for a given number; for different numbers they differ by rounding.
    n_networks : int, default=1
        Number of networks, >= 1, that are trained on the same data from different seeds, side by side on ``n_threads``
        threads.  Predictions are those of their mean probabilities, or of their mean outputs where the loss has no
        probabilities, and `spread` says how far the networks are from one another.  On sets of 50 to 500 sequences
        several networks are often better than one.  All of them hold out the same validation data, and ``max_time`` is
        shared among them; callbacks are called for each, with the estimator of that network.  Not allowed together with
        ``checkpoint`` or ``reducer``.
    loss : {"cross_entropy", "hinge", "sigmoid_cross_entropy"} or object, default="cross_entropy"
        Loss R: a name, an object of `admmirnn.losses`, or any object with ``value(o, y)`` and ``prox(q, y, rho)`` in
        numpy (see `admmirnn.losses.UserLoss`), which is slower.  "cross_entropy" is that of the softmax; "hinge" sets
        each class against all others.  With "sigmoid_cross_entropy" a sequence or a step may have **several labels**
        or none, and ``y`` is a matrix of zeros and ones.  An object is taken in the same way, unless it has the
        attribute ``takes_labels``, which says that its y are class numbers.
    targets : {"auto", "sequence", "step"}, default="auto"
        What ``y`` has a label for: each sequence, or each step.  In the first call, "auto" reads one axis as labels of
        sequences, and two axes or a list of arrays as labels of steps; later calls of `partial_fit` and validation data
        must have the same.
    class_weight : dict, "balanced" or None, default=None
        Weights of labels.  Labels that a dict does not name have weight 1; "balanced" makes all classes count the same,
        given the weights of their sequences.  Must be None where there may be several labels.
    ignore_label : label or None, default=None
        Value in ``y`` of a step that has no label.  The network reads such a step and learns nothing from its target.
        Where there may be several labels, the whole row has this value.
    early_stopping : bool, default=False
        Whether training stops when the loss on validation data no longer falls, and keeps the weights of the epoch in
        which it was lowest.  The validation data are ``validation_data`` of `fit`, or a part of the training set.
    validation_fraction : float, default=0.1
        Size of that part, > 0 and < 1: sequences drawn at random, in equal shares of each class; with
        ``stateful=True``, or where there are targets for steps and too few sequences, the last steps of each sequence.
    patience, tol : int and float, default=10 and 1e-4
        Number of epochs, >= 1, after which training stops unless the validation loss has fallen by more than ``tol``,
        >= 0.
    max_time : float or None, default=None
        Number of seconds, > 0, after which training ends, with the iteration it is in.  The schedule of "rollout"
        follows the time, where that is further on than the number of iterations.
    checkpoint : path-like or None, default=None
        File for the state of the fit, written after every ``checkpoint_every`` epochs, >= 1.
        ``fit(..., resume=True)`` continues from it.  The file is complete whenever the process ends.  Needs
        safetensors.
    checkpoint_every : int, default=1
        Number of epochs between two checkpoints; see ``checkpoint``.
    callbacks : list, optional
        Functions, or objects with ``on_epoch_end``, that are called with an `EpochState` at the end of every epoch
        that has not diverged.  Training stops when one of them returns True.

    Attributes
    ----------
    U_, W_, b_ : ndarray of shape (g n, d), (g n, n), (g n,)
        Weights of the observations, weights of the state before, and biases, for all g gates of the cell.  The n rows
        of each gate follow those of the gate before, in the order of the next entry.  "elman" has one gate.  "fastgrnn"
        has one block of rows in ``U_`` and ``W_``, and two in ``b_``.  An array that joins several gates is made when
        it is read, and is read-only.
    U_z_, W_z_, b_z_, ... : ndarray of shape (n, d), (n, n), (n,)
        Weights of single gates: z and c of "ugrnn"; z, r and c of "gru"; i, f, g and o of "lstm"; of "fastgrnn" the
        biases ``b_z_`` and ``b_c_`` alone.  "gru" also has ``b_s_``, which is added to W_c s and comes last in ``b_``.
    U_reverse_, W_reverse_, b_reverse_, W_z_reverse_, ... : ndarray
        Weights of the network that reads from the end, with ``bidirectional=True``.
    U_2_, W_2_, b_2_, W_z_2_, U_3_, ... : ndarray
        Weights of the layers above the first one, for which d is the number of states of the layer below; with
        ``bidirectional=True`` also ``W_2_reverse_`` and so on.
    V_, c_ : ndarray of shape (K, n), (K,)
        Weights and biases of the outputs; with ``bidirectional=True`` ``V_`` is (K, 2 n), for the states of both
        directions.
    estimators_ : list of RNNClassifier
        One fitted estimator for each network, with ``n_networks`` above 1.  They have the weights, and the estimator
        itself has none.  Its ``history_`` has the means over the networks for each epoch (sums of counts and of
        seconds), its ``n_iter_`` is the largest of theirs, and its ``best_epoch_`` is None.
    s_0_ : ndarray of shape (n,), or None
        State before the first step; None is zero.  Upper layers have ``s_0_2_`` and so on, and "lstm" has the cell
        state ``c_0_``, if it is learnt.
    classes_ : ndarray of shape (K,)
        Labels, sorted; where there may be several, the numbers of the columns of y.
    history_ : list of dict
        One record per epoch: ``epoch``, ``rollout_loss``, ``training_accuracy``, ``seconds``, and what the solver adds.
        With "rollout" the loss and the accuracy are means over the minibatches, each before its update, and the solver
        adds ``radius``, ``output_radius``, ``r``, ``output_r``, ``D_norm``, ``output_D_norm``, ``capped_steps``,
        ``damping_raised`` and ``rollbacks``, see `Rollout`.  With "algorithm1" they are those of the training set after
        the iteration, and the solver adds the augmented Lagrangian, the residuals and the auxiliary loss, see
        `Algorithm1`.  There is no accuracy where there may be several labels.  ``validation_loss`` and
        ``validation_accuracy`` are those of validation data.  ``history_.to_frame()`` is a table of pandas.
    status_ : Status or None
        Reason why training stopped; its value is the message.  None after `from_torch`.
    status_detail_ : str or None
        Name of the quantity that grew, if training diverged.
    n_iter_ : int
        Number of epochs done; the last one may be incomplete.
    best_epoch_ : int or None
        Epoch in which the weights were as they are now, with ``early_stopping``.
    fill_values_ : ndarray of shape (n_features,), or None
        Means of the values that were not missing in the first call; None where missing observations are refused.
    feature_mean_, feature_scale_ : ndarray of shape (n_features,), or None
        Numbers that are subtracted from the features, and numbers that they are then divided by.  They are 0 and 1 for
        a feature that "auto" has left as it is, and None if it has left all of them.
    n_features_in_ : int
        Number of features of an observation; of a 2-D X the number of its columns (steps), as scikit-learn counts.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if X was a DataFrame with names that are strings.

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
        hidden_size: int | Sequence[int] = 128,
        *,
        cell: CellName = "auto",
        activation: Activation = "tanh",
        penalty: float | str = "auto",
        penalties: Mapping[str, ProximalOperator] | None = None,
        solver: SolverName | Solver = "rollout",
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int | str = "auto",
        readout: ReadOut = "last",
        frame: int | Frame | None = None,
        bidirectional: bool = False,
        dropout: float | str = "auto",
        augment: Mapping[str, float] | None = None,
        s_0: str | ArrayLike | None = None,
        stateful: bool | str = "auto",
        chunk_size: int = 25,
        init: Mapping[str, ArrayLike] | None = None,
        forget_bias: float | str = "auto",
        dtype: DTypeLike = "float32",
        shuffle: bool = True,
        verbose: int = 0,
        random_state: RandomState = None,
        scale: float = 1.0,
        standardize: bool | Literal["auto"] = "auto",
        missing: Literal["refuse", "forward", "indicator"] = "refuse",
        n_threads: int | None = 1,
        n_networks: int = 1,
        loss: LossOfClasses | Loss | CustomLoss = "cross_entropy",
        targets: TargetsOf = "auto",
        class_weight: Mapping[Any, float] | str | None = None,
        ignore_label: object = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        tol: float = 1e-4,
        max_time: float | None = None,
        checkpoint: FilePath | None = None,
        checkpoint_every: int = 1,
        callbacks: Sequence[Callback] | None = None,
    ) -> None:
        self.hidden_size = hidden_size
        self.cell = cell
        self.activation = activation
        self.penalty = penalty
        self.penalties = penalties
        self.solver = solver
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.readout = readout
        self.frame = frame
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.augment = augment
        self.s_0 = s_0
        self.stateful = stateful
        self.chunk_size = chunk_size
        self.init = init
        self.forget_bias = forget_bias
        self.dtype = dtype
        self.shuffle = shuffle
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.standardize = standardize
        self.missing = missing
        self.n_threads = n_threads
        self.n_networks = n_networks
        self.loss = loss
        self.targets = targets
        self.class_weight = class_weight
        self.ignore_label = ignore_label
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tol = tol
        self.max_time = max_time
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.callbacks = callbacks

    classes_: Array
    _several: bool
    _losses = LOSSES_OF_CLASSES
    fitted_attributes: Mapping[str, Fitted] = (
        FITTED
        | FITTED_OF_SEQUENCES
        | {
            "classes_": Fitted.labels("K"),
            "_several": Fitted.value(validation.check_boolean),
        }
    )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        loss = LOSSES_OF_CLASSES.get(self.loss) if isinstance(self.loss, str) else self.loss
        several = not getattr(loss, "takes_labels", False)
        tags.classifier_tags.multi_label = tags.target_tags.multi_output = several
        tags.classifier_tags.multi_class = tags.target_tags.single_output = not several
        return tags

    @classmethod
    def from_torch(
        cls,
        rnn: TorchModule | Sequence[TorchModule],
        linear: TorchModule,
        *,
        classes: ArrayLike | None = None,
        every_step: bool = False,
        **settings: Any,
    ) -> Self:
        """Return a classifier with the weights of a `torch.nn.RNN`, GRU or LSTM, and the `torch.nn.Linear` behind it.

        Its outputs are those of ``linear``.  `partial_fit` trains on from there.

        Parameters
        ----------
        rnn : torch.nn.RNN, torch.nn.GRU or torch.nn.LSTM, or list of these
            Layers with any number of units, with or without biases, ``batch_first`` and ``bidirectional``; dropout
            between layers is left out, as in ``rnn.eval()``.  In a list, which may be a `torch.nn.ModuleList`, each
            module reads the states of the one before, and all are of one kind.  ``module.rnn`` of what `to_torch`
            returns can be passed as well.
        linear : torch.nn.Linear
            Output layer, with an output for each class, or a single one: the logit of the second of two classes.
        classes : array-like of shape (n_classes,), optional
            Labels of the outputs; 0, 1, 2, ... by default.
        every_step : bool, default=False
            Whether there is a label for each step.
        **settings
            Other parameters of the class: ``readout``, ``frame``, ``scale`` and ``s_0`` where they are not the
            defaults, ``loss="sigmoid_cross_entropy"`` if there may be several labels, and what `partial_fit` needs.
            States that are to be learnt on from are ``s_0="learn", init={"s_0": ...}``, with c_0 of an LSTM in ``init``
            as well.

        Returns
        -------
        RNNClassifier
            Fitted estimator with the dtype of the weights; its ``history_`` is empty and its ``status_`` is None.

        Raises
        ------
        ValueError, TypeError
            If admmirnn has no such network, for example an LSTM with ``proj_size``, or an argument is not usable.
        ImportError
            If torch is not installed: ``pip install 'admmirnn[torch]'``.

        Examples
        --------
        >>> RNNClassifier.from_torch(rnn, linear, classes=["no", "yes"]).predict(X)  # doctest: +SKIP
        """
        classifier, layers = estimator_of_layers(cls, rnn, linear, settings)
        several = not loss_of(classifier.loss, classifier._losses).takes_labels
        if several and classes is not None:
            raise ValueError(
                f"classes is given, and with loss={classifier.loss!r} the labels are the numbers of the outputs; leave "
                "it out"
            )
        of_outputs = ("V", "c")
        if len(layers["c"]) == 1 and not several:
            layers |= {name: np.concatenate([np.zeros_like(layers[name]), layers[name]]) for name in of_outputs}
        classes, order = check_torch_classes(classes, len(layers["c"]))
        layers |= {name: layers[name][order] for name in of_outputs}
        return classifier._of_layers(layers, every_step, {"classes_": classes, "_several": several})

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        resume: bool = False,
        reducer: Reducer | None = None,
    ) -> Self:
        """Train the network from new initial weights.

        The first Ctrl-C ends training after the iteration it is in, with the last good weights; the second one aborts.

        Parameters
        ----------
        X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
            Sequences.  A list holds one array of shape (n_steps_i, n_features) per sequence, of any lengths, or one
            sparse matrix of scipy, which is not made dense; a 2-D X holds one feature.
        y : array-like of shape (n_sequences,), or (n_sequences, n_steps), or list of arrays of shape (n_steps_i,)
            Labels of any type that can be sorted: one per sequence, or one for each of its steps.  Where there may be
            several (see ``loss``), ones and zeros in the shape (n_sequences, n_labels), (n_sequences, n_steps,
            n_labels), or a list of arrays of shape (n_steps_i, n_labels).
        sample_weight : array-like of shape (n_sequences,), optional
            Weights >= 0 of the sequences, relative to their mean: a sequence of weight 2 counts as much as two equal
            sequences, in every minibatch, and one of weight 0 is left out.  With a label for each step, weights in the
            form of ``y`` give each step a weight.  What depends on the number of sequences, as "auto" does, counts them
            without weights.  With "algorithm1" they weigh the losses only, not the penalties of the equations.
        validation_data : tuple, optional
            Pair (X, y) on which the loss is measured after every epoch; it is not trained with.
        resume : bool, default=False
            Whether to go on from the file ``checkpoint``, if it is there: with the same arguments, to the same weights
            that the fit would have ended with, to the last bit.
        reducer : Reducer, optional
            Object that joins several processes which call this method at the same time, such as
            `admmirnn.distributed.MPIReducer`.  Each passes a part of the sequences, or none; all of them become fitted
            with the same weights.

        Returns
        -------
        RNNClassifier
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        return self._fit(X, y, sample_weight, validation_data, resume, reducer)

    @available_if(can_go_on)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train on from where the last call of `fit` or `partial_fit` has ended: one pass over these sequences.

        Running statistics are kept.  As the end is not known, steps become shorter with the root of the number of
        iterations, and are as long as at first again when the loss tells that the law of the data has changed.  With
        ``stateful=True`` every sequence goes on where the one in its place ended in the last `partial_fit`, from its
        state; see `reset_states`.  "rollout" only.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`; with ``stateful=True`` as many as in the call before.
        y : array-like or list of arrays
            Labels as in `fit`.
        classes : array-like of shape (n_classes,), optional
            All labels that there will be.  The first call needs them, unless `fit` has been called, or a target may
            have several labels: then y has a column for each.
        sample_weight : array-like or list of arrays, optional
            Weights as in `fit`, but relative to the mean over the targets of all calls so far, of which the last 1,600
            count.

        Returns
        -------
        RNNClassifier
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        fitted = getattr(self, "classes_", None)
        if classes is not None or loss_of(self.loss, self._losses).takes_labels:
            fitted = check_classes(classes, fitted)
        return self._partial_fit(X, y, sample_weight, {"classes_": fitted})

    def _read_targets(
        self,
        y: Any,
        sample_weight: ArrayLike | None,
        sequences: Sequences,
        settings: EstimatorSettings,
        loss: AnyLoss,
        known: dict[str, Any] | None = None,
        agree: Agree | None = None,
    ) -> tuple[Targets, dict[str, Any]]:
        if not loss.takes_labels:
            return self._read_indicators(y, sample_weight, sequences.lengths, known, agree)
        if known is not None and getattr(self, "_several", False):
            raise ValueError(f"loss is {self.loss!r}, and targets had several labels when training began; call fit")
        lengths, per_step = sequences.lengths, Capability.LABELS_PER_STEP in settings.solver.capabilities
        classes, targets, present, form = check_labels(
            y,
            lengths,
            targets=self._what_targets_are(known),
            per_step=per_step,
            stateful=settings.stateful,
            ignore_label=self.ignore_label,
        )
        weights = weights_of_present(check_sample_weight(sample_weight, lengths, per_step=form != "sequence"), present)
        if agree is not None:
            classes, targets, weights = agree_on_labels(agree, self.class_weight, classes, targets, weights)
            return Targets(targets, weights, form, len(classes)), {"classes_": classes, "_several": False}
        if known is not None:
            targets = numbers_of_classes(classes, known["classes_"], targets, weights)
            classes = known["classes_"]
        weights = check_class_weight(self.class_weight, classes, targets, weights, partial=known is not None)
        if known is None:
            kept = classes_there(targets, weights, len(classes))
            check_several_classes(classes, kept)
            if len(kept) < len(classes):
                targets = np.searchsorted(kept, targets).astype(targets.dtype)
            classes = classes[kept]
        elif weights is not None and not weights.any():
            raise ValueError("y has no label of positive weight; leave such a call out")
        if weights is not None:
            targets[weights == 0] = 0
        return Targets(targets, weights, form, len(classes)), {"classes_": classes, "_several": False}

    def _read_indicators(
        self,
        y: Any,
        sample_weight: ArrayLike | None,
        lengths: IntArray,
        known: dict[str, Any] | None = None,
        agree: Agree | None = None,
    ) -> tuple[Targets, dict[str, Any]]:
        """Targets of sequences or steps that may have several labels at once."""
        if self.class_weight is not None:
            raise ValueError(
                f"class_weight is {self.class_weight!r}, and with loss={self.loss!r} a target may have several "
                "classes; pass None, or sample_weight"
            )
        values, present, form = check_indicators(y, lengths, ignore_label=self.ignore_label)
        check_form(form, self._what_targets_are(known), y)
        weights = weights_of_present(check_sample_weight(sample_weight, lengths, per_step=form != "sequence"), present)
        if weights is not None and not weights.any():
            raise ValueError("y has no row with labels and a positive weight; give some rows both")
        n_labels = values.shape[1]
        if agree is not None:
            agree_on_indicators(agree, n_labels)
        if known is not None and known["classes_"] is not None and len(known["classes_"]) != n_labels:
            raise ValueError(
                f"y has {n_labels} columns, and there are {len(known['classes_'])} labels; pass one column per label"
            )
        if known is not None and not getattr(self, "_several", True):
            raise ValueError(f"loss is {self.loss!r}, and targets had one label each when training began; call fit")
        return Targets(values, weights, form, n_labels), {"classes_": np.arange(n_labels), "_several": True}

    def predict(self, X: ArrayLike) -> Array:
        """Return the label of every sequence, or of every step if ``y`` had one for each.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences,)
            Labels; of shape (n_sequences, n_steps), if ``y`` had a label for each step.  If lengths differ, here or in
            `fit`, the result is an array of n_sequences objects, which are arrays of shape (n_steps_i,).

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X does not fit the estimator, or is not finite, or is so large that outputs are not.
        """
        return self._in_the_form_of_targets(*self._predicted(X, self._labels_of))

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the outputs of the network; `predict` takes the largest one, or the positive ones of several labels.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences, n_classes), or (n_sequences,) for two classes
            Outputs of the network.  For two classes, the output of the second minus that of the first.  If ``y`` had a
            label for each step, the steps are the second axis, or there is an array of arrays, as in `predict`.

        Raises
        ------
        ValueError, TypeError
            As in `predict`.
        """
        return self._in_the_form_of_targets(*self._predicted(X, self._decisions))

    @available_if(_has_probabilities)
    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probability of every class, in the order of ``classes_``.

        Only cross-entropies have probabilities: the softmax of the outputs, or with ``loss="sigmoid_cross_entropy"``
        the logistic function of each.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences, n_classes)
            Probabilities.  If ``y`` had a label for each step, the steps are the second axis, or there is an array of
            arrays of shape (n_steps_i, n_classes), as in `predict`.

        Raises
        ------
        ValueError, TypeError
            As in `predict`.
        """
        return self._in_the_form_of_targets(*self._predicted(X, self._probabilities))

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Return the logarithm of the probability of every class, in the order of ``classes_``.

        It is computed from the outputs, and so it is finite where `predict_proba` is zero by rounding.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences, n_classes)
            Logarithms of the probabilities, in the form of what `predict_proba` returns.

        Raises
        ------
        ValueError, TypeError
            As in `predict`.
        """
        return self._in_the_form_of_targets(*self._predicted(X, self._log_probabilities))

    def _labels_of(self, outputs: FloatArray) -> Array:
        """What is predicted by a network with these outputs."""
        return (outputs > 0).astype(int) if self._several else self.classes_[outputs.argmax(axis=1)]

    def _decisions(self, outputs: FloatArray) -> FloatArray:
        """The outputs, or of two classes by how much the second is ahead."""
        return outputs[:, 1] - outputs[:, 0] if not self._several and outputs.shape[1] == 2 else outputs

    def _log_probabilities(self, outputs: FloatArray) -> FloatArray:
        found: FloatArray = log_expit(outputs) if self._several else log_softmax(outputs, axis=1)
        return found

    def _probabilities(self, outputs: FloatArray) -> FloatArray:
        found: FloatArray = expit(outputs) if self._several else softmax(outputs, axis=1)
        return found

    def _answers(self, outputs: FloatArray) -> FloatArray:
        """What is predicted of each class, by a network with these outputs; of two without probabilities one number."""
        if hasattr(self, "predict_proba"):
            return self._probabilities(outputs)
        return self._decisions(outputs)

    def trace(self, x: ArrayLike, layer: int | None = None) -> Trace:
        """Return the `Trace` of one sequence, with the states of a layer, counted from 1, or the last; for pictures."""
        trace = self._trace(x, layer)
        outputs = self._probabilities(trace.outputs) if hasattr(self, "predict_proba") else trace.outputs
        return replace(trace, outputs=outputs, names=self.classes_)

    def _answer(self) -> Answer:
        if hasattr(self, "predict_proba"):
            name = "logistic" if self._several else "softmax"
            return Answer(name, classes=self.classes_, several=self._several)
        of_two = not self._several and len(self.classes_) == 2
        return Answer("values", single=of_two, difference=of_two, classes=self.classes_, several=self._several)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy of `predict`: the share of right sequences, or of right steps.

        Of several labels at once all have to be right.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`.
        y : array-like or list of arrays
            True labels, as in `fit`; where one is ``ignore_label``, the sequence or step does not count.
        sample_weight : array-like of shape (n_sequences,), optional
            Weights of the sequences, or of the steps as in `fit`.

        Returns
        -------
        float
            Accuracy, from 0 to 1.

        Raises
        ------
        ValueError, TypeError
            As in `predict`, or if y or ``sample_weight`` does not belong to X.
        """
        check_is_fitted(self)
        check_y_is_there(self, y)
        X, y, sample_weight = by_series(X, y, sample_weight)
        if self._several:
            return self._subset_accuracy(X, y, sample_weight)
        labels, predicted, present, lengths = self._labels(X, y)
        of_targets = check_sample_weight(sample_weight, lengths, per_step=self._form_of_targets != "sequence")
        weights = check_weights_of_score(of_targets, present)
        return float(np.average(labels == predicted, weights=weights))

    def _labels(self, X: ArrayLike, y: ArrayLike) -> tuple[Array, Array, slice | BoolArray, IntArray]:
        """True and predicted labels of the sequences or steps that have one, which those are, and the lengths."""
        predicted = self.predict(X)
        if self._form_of_targets == "sequence":
            lengths = np.ones(len(predicted), np.intp)
            labels = check_labels_of_sequences(y, lengths, self.ignore_label)
        else:
            lengths = np.array([len(of_sequence) for of_sequence in predicted])
            labels = check_labels_per_step(y, lengths, self.ignore_label)
            predicted = np.concatenate(list(predicted))
        present: Any = slice(None) if self.ignore_label is None else differs(labels, self.ignore_label)
        if not labels[present].size:
            raise ValueError(
                f"every label in y is ignore_label = {self.ignore_label!r}; pass some labels to compare with"
            )
        check_label_column(labels[present], lambda i: f"entry {i} of those to compare with")
        check_comparable(labels[present], self.classes_)
        return labels[present], predicted[present], present, lengths

    def true_and_predicted(self, X: ArrayLike, y: ArrayLike) -> tuple[Any, Any]:
        """Return the true and the predicted label of each sequence, or of each step that has one; for pictures."""
        if self._several:
            raise ValueError(
                f"loss is {self.loss!r}, with which there may be several labels at once; see "
                "sklearn.metrics.multilabel_confusion_matrix"
            )
        return self._labels(X, y)[:2]

    def _subset_accuracy(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> float:
        predicted, lengths = self._predicted(X, self._labels_of)
        values, present, form = check_indicators(y, lengths, ignore_label=self.ignore_label)
        per_step = self._form_of_targets != "sequence"
        if (form != "sequence") != per_step or values.shape != predicted.shape:
            raise ValueError(
                f"y has the shape {values.shape}, and predictions have the shape {predicted.shape}; pass y as in fit"
            )
        if not present.any():
            raise ValueError(
                f"every label in y is ignore_label = {self.ignore_label!r}; pass some labels to compare with"
            )
        weights = check_weights_of_score(check_sample_weight(sample_weight, lengths, per_step=per_step), present)
        right = (predicted == values).all(axis=1)
        return float(np.average(right[present], weights=weights))


def check_torch_classes(classes: Any, n_outputs: int) -> tuple[Array, IntArray]:
    """Return the labels of outputs, 0 to K - 1 for None, and the order in which they are sorted."""
    if classes is None:
        return np.arange(n_outputs), np.arange(n_outputs)
    with validation.naming("classes"):
        given = as_labels(validation.in_lists(classes), "classes")
    known, places = check_label_column(given, "index {} of classes".format)
    order = np.argsort(places)
    if len(known) != len(given):
        raise ValueError("classes has a label twice; pass one for each output")
    if len(known) != n_outputs:
        raise ValueError(f"classes has {len(known)} label(s) for {n_outputs} outputs; pass one for each output")
    return known, order
