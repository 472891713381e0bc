"""CharacterModel: each character of a text is predicted from those before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.special import log_softmax, softmax

from admmirnn import backend, validation
from admmirnn._typing import (
    Activation,
    Array,
    CellName,
    FilePath,
    FloatArray,
    IntArray,
    ProximalOperator,
    RandomState,
    Reducer,
    Self,
    SolverName,
    Text,
)
from admmirnn.data.sequences import Sequences
from admmirnn.data.targets import Targets
from admmirnn.data.texts import read_text, read_texts
from admmirnn.estimators.agreement import agree_on_data, agree_on_settings, has_nothing
from admmirnn.estimators.base import FITTED, RecurrentEstimator
from admmirnn.estimators.pipeline import Data
from admmirnn.estimators.settings import EstimatorSettings, check_estimator_settings, check_partial, check_same_network
from admmirnn.files import models
from admmirnn.files.fitted import Fitted
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import Network, layers_of_one_direction
from admmirnn.solvers import SOLVERS
from admmirnn.solvers.interface import Solver
from admmirnn.solvers.workers import check_reducer, failing_together, gather
from admmirnn.watching import Callback


def check_fitted_vocabulary(name: str, value: Any, sizes: dict[str, Any]) -> None:
    """Raise unless this is a str of ascending characters, one for each column of U and each output."""
    if not isinstance(value, str) or list(value) != sorted(set(value)):
        raise ValueError(f"{name} is not a string of different characters in sorted order")
    if not len(value) == sizes["K"] == sizes["d"]:
        raise ValueError(f"{name} has {len(value)} characters, which do not go with the weights")


@models.saved
class CharacterModel(RecurrentEstimator):
    """Recurrent network that reads a text and predicts each next character, trained by ADMM.

    Every character is a symbol: s_t = f(U[:, x_t] + W s_{t-1} + b), or what a cell with gates makes of the same, and
    softmax(V s_t + c) are the probabilities of the characters that may follow.  No one-hot vectors are made.  The text
    is cut into ``batch_size`` streams, which are trained side by side, ``chunk_size`` characters at a time; the state
    is carried from chunk to chunk.

    Parameters
    ----------
    hidden_size, cell, activation, penalty, penalties, solver, dropout, s_0, init, forget_bias, dtype, verbose, \
random_state, n_threads
        As in `RNNClassifier`, with these differences: the solver must read symbols, as "rollout" does; "auto" stands
        for the cell "gru"; U is drawn with variance 1, or 1/16 for cells with gates, whose ``forget_bias`` of "auto" is
        -1.
    max_epochs : int, default=10
        Number of passes over the text, >= 1.  The solver's ``max_iter``, a number of chunks, takes its place.
    batch_size : int or "auto", default="auto"
        Number of streams that are read side by side, >= 1; "auto" is 16, or fewer of at least four chunks.  With fewer
        streams the network learns more in a pass, which takes longer.
    chunk_size : int, default=25
        Number of characters of a chunk, >= 1; multipliers, and so what is learnt about the past, end at its beginning.
    unknown : str or None, default=None
        Character of the training text that is read in the place of characters which the training text does not have;
        None raises ValueError for these.
    early_stopping, validation_fraction, patience, tol, max_time, checkpoint, checkpoint_every, callbacks
        As in `RNNClassifier`; the part for validation is the end of each text.

    Attributes
    ----------
    U_, W_, b_, V_, c_ : ndarray of shape (g n, K), (g n, n), (g n,), (K, n), (K,)
        Weights of the network, for a cell with g gates and for K different characters; `RNNClassifier` lists those of
        single gates and of further layers.
    s_0_ : ndarray of shape (n,), or None
        State before the first character; None is zero.
    vocabulary_ : str
        Characters of the training text, sorted; this is the order of the columns of U, and of the outputs.
    counts_ : ndarray of shape (K,)
        Number of times that the training text has each character.
    history_, status_, status_detail_, n_iter_, best_epoch_
        As in `RNNClassifier`; the loss is in nats per character, log(2) of which are a bit.

    See Also
    --------
    RNNClassifier : Labels of sequences, or of each of their steps.

    Examples
    --------
    >>> from admmirnn import CharacterModel
    >>> model = CharacterModel(hidden_size=16, max_epochs=20, random_state=0).fit(200 * "to be or not to be, ")
    >>> model.generate("to be or n", 8, temperature=0)
    'ot to be'
    """

    readout: str
    scale: float
    bidirectional: bool
    stateful: bool
    shuffle: bool
    standardize: bool
    missing: str
    augment: None
    frame: None
    vocabulary_: str
    counts_: NDArray[np.int64]

    # what a text leaves no choice of
    readout, frame, scale, bidirectional, stateful, shuffle = "last", None, 1.0, False, True, True
    standardize, missing, augment = False, "refuse", None
    _reads_text = True
    _usual_cell = "gru"

    fitted_attributes: Mapping[str, Fitted] = FITTED | {
        "vocabulary_": Fitted(check_fitted_vocabulary),
        "counts_": Fitted.array("K", dtypes=("int64", "int32")),
    }

    def __init__(
        self,
        hidden_size: int | Sequence[int] = 128,
        *,
        cell: CellName = "auto",
        activation: Activation = "tanh",
        penalty: float | str = "auto",
        penalties: Mapping[str, ProximalOperator] | None = None,
        solver: SolverName | Solver = "rollout",
        max_epochs: int = 10,
        batch_size: int | str = "auto",
        chunk_size: int = 25,
        dropout: float = 0.0,
        s_0: str | ArrayLike | None = None,
        init: Mapping[str, ArrayLike] | None = None,
        forget_bias: float | str = "auto",
        dtype: DTypeLike = "float32",
        verbose: int = 0,
        random_state: RandomState = None,
        n_threads: int | None = 1,
        unknown: str | None = None,
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
        self.chunk_size = chunk_size
        self.dropout = dropout
        self.s_0 = s_0
        self.init = init
        self.forget_bias = forget_bias
        self.dtype = dtype
        self.verbose = verbose
        self.random_state = random_state
        self.n_threads = n_threads
        self.unknown = unknown
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tol = tol
        self.max_time = max_time
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.callbacks = callbacks

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = tags.input_tags.three_d_array = False
        return tags

    def fit(
        self,
        text: Text | Sequence[Text],
        y: object = None,
        *,
        validation_text: Text | Sequence[Text] | None = None,
        resume: bool = False,
        reducer: Reducer | None = None,
    ) -> Self:
        """Learn to predict every character of a text but the first, from new initial weights.

        Parameters
        ----------
        text : str, pathlib.Path, text file, or list of them
            Text, or file to read it from: in UTF-8, in UTF-16 or UTF-32 if a byte order mark says so, and packed if the
            name ends in ``.gz``.  A list, an array or a column of a table holds several texts, each of which begins
            with s_0.  Every text has at least two characters.
        y : None
            Not used; present for scikit-learn's sake.
        validation_text : str, pathlib.Path, text file, or list of them, optional
            Text on which the loss is measured after every epoch; it is not trained with.
        resume, reducer
            As in `RNNClassifier.fit`.

        Returns
        -------
        CharacterModel
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        reducer = check_reducer(reducer)
        with failing_together(reducer):
            settings = self._settings()
            if reducer.size > 1:
                settings = agree_on_settings(reducer, settings, self)
            texts = [] if reducer.size > 1 and has_nothing(text) else read_texts(text)
            own = texts if reducer.size == 1 else ["".join(set("".join(texts)))]
            vocabulary = _vocabulary(*(part for parts in gather(reducer, own) for part in parts))
            return self._learn_texts(
                texts, settings, vocabulary, validation_text=validation_text, resume=resume, reducer=reducer
            )

    def partial_fit(self, text: Text | Sequence[Text], y: object = None, vocabulary: str | None = None) -> Self:
        """Train on from where the last call of `fit` or `partial_fit` has ended: one pass over a text.

        Running statistics are kept, and steps become shorter from call to call, as in `RNNClassifier.partial_fit`.
        Every text begins with s_0.

        Parameters
        ----------
        text : str, pathlib.Path, text file, or list of them
            Text as in `fit`.
        y : None
            Not used; present for scikit-learn's sake.
        vocabulary : str, optional
            All characters that there will be, for the first call; by default those of the text.

        Returns
        -------
        CharacterModel
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        settings = self._settings()
        check_partial(self)
        texts = read_texts(text)
        known: str | None = getattr(self, "vocabulary_", None)
        given = None if vocabulary is None else _vocabulary(check_characters(vocabulary))
        if known is None:
            characters = _vocabulary(*texts) if given is None else given
            return self._learn_texts(texts, settings, characters, online=True)
        check_same_vocabulary(given, known)
        network = self._network()
        network.learns_s_0 = isinstance(settings.s_0, str)
        check_same_network(self, settings, network)
        return self._learn_texts(texts, settings, known, network, online=True)

    def _settings(self) -> EstimatorSettings:
        return check_estimator_settings(self, SOLVERS, reads_text=True)

    def _learn_texts(
        self,
        texts: list[str],
        settings: EstimatorSettings,
        vocabulary: str,
        network: Network | None = None,
        *,
        validation_text: Text | Sequence[Text] | None = None,
        online: bool = False,
        resume: bool = False,
        reducer: Reducer | None = None,
    ) -> Self:
        """Read the texts, and train a network, a new one or the fitted one."""
        n_symbols = len(vocabulary)
        stand_in = check_stand_in(self.unknown, vocabulary)
        encoded = _encoded(texts, vocabulary, stand_in)
        reducer = check_reducer(reducer)
        is_one = reducer.size == 1
        counts = np.sum(gather(reducer, _counts(encoded, n_symbols)), axis=0)
        attributes = {
            "vocabulary_": vocabulary,
            "counts_": counts if network is None else self.counts_ + counts,
            "_activation": settings.activation,
            "_readout": settings.readout,
        }
        everyones, own = None, None
        if encoded:
            sequences, following = _predictions(encoded, n_symbols)
            own = sequences, Targets(following, None, "list", n_symbols), attributes
        if is_one and own is not None:
            sequences, targets, attributes = own
        else:
            sequences, targets, attributes, everyones = agree_on_data(reducer, own)
        data = Data(sequences, targets, SoftmaxCrossEntropy(), attributes, everyones=everyones)
        if validation_text is not None:
            with validation.naming("validation_text"):
                encoded = _encoded(read_texts(validation_text), vocabulary, stand_in)
            more, following = _predictions(encoded, n_symbols)
            data.apart = more, following, None, True
        return self._learn(settings, data, network, online=online, resume=resume, reducer=reducer)

    def bits_per_character(self, text: Text | Sequence[Text]) -> float:
        """Return what a character costs with the model's predictions: the mean of -log2 p(x_t | x_1 ... x_{t-1}).

        The text is read as one stream, from s_0 to its end: the prediction of a character has seen all that are before
        it.  The first character is not predicted, and does not count.  Of several texts, each begins with s_0, and the
        mean is over all characters that are predicted.

        Parameters
        ----------
        text : str, pathlib.Path, text file, or list of them
            Text as in `fit`.

        Returns
        -------
        float
            Mean number of bits, >= 0; guessing among K characters takes log2(K).

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError, TypeError
            If a text has fewer than two characters, or has one that the training text does not have and ``unknown`` is
            None.
        OSError
            If a file cannot be read.
        """
        network = self._network()
        sequences, following = _predictions(self._encode(read_texts(text)), len(self.vocabulary_))
        nats, n_threads = 0.0, validation.check_n_threads(self.n_threads)
        for rows, outputs in network.pieces_of_outputs(sequences, every_step=True, n_threads=n_threads):
            for part in _parts_of_outputs(outputs):
                log_p = log_softmax(self._checked(outputs[part]).astype(np.float64), axis=1)
                nats -= log_p[np.arange(len(log_p)), following[rows[part]]].sum()
        return float(nats / (len(following) * np.log(2)))

    def score(self, text: Text | Sequence[Text], y: object = None) -> float:
        """Return minus `bits_per_character`, of which more is better.

        Parameters
        ----------
        text : str, pathlib.Path, text file, or list of them
            Text as in `fit`.
        y : None
            Not used; present for scikit-learn's sake.

        Returns
        -------
        float
            Minus the number of bits per character, <= 0.

        Raises
        ------
        ValueError, TypeError
            As in `bits_per_character`.
        """
        return -self.bits_per_character(text)

    def predict_proba(self, text: Text) -> FloatArray:
        """Return the probabilities of what follows each character of a text.

        Parameters
        ----------
        text : str, pathlib.Path or text file
            One text, of at least one character.

        Returns
        -------
        ndarray of shape (n_characters, K)
            Probabilities: row t holds those of the character after the t-th, in the order of ``vocabulary_``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError, TypeError
            If the text is empty, or has a character that the training text does not have and ``unknown`` is None.
        OSError
            If a file cannot be read.
        """
        found = self._outputs_of_text(text)
        for part in _parts_of_outputs(found):
            found[part] = softmax(found[part], axis=1)
        return found

    def predict_log_proba(self, text: Text) -> FloatArray:
        """Return the logarithms of the probabilities of what follows each character of a text.

        They are computed from the outputs, and so they are finite where `predict_proba` is zero by rounding.

        Parameters
        ----------
        text : str, pathlib.Path or text file
            One text, of at least one character.

        Returns
        -------
        ndarray of shape (n_characters, K)
            Logarithms of probabilities: row t holds those of the character after the t-th, in the order of
            ``vocabulary_``.

        Raises
        ------
        ValueError, TypeError, OSError
            As in `predict_proba`.
        """
        found = self._outputs_of_text(text)
        for part in _parts_of_outputs(found):
            found[part] = log_softmax(found[part], axis=1)
        return found

    def _outputs_of_text(self, text: Text) -> FloatArray:
        network = self._network()
        (codes,) = self._encode([read_text(text, least=1)])
        return self._checked(network.outputs(_symbols([codes], len(self.vocabulary_)), every_step=True))

    def generate(
        self, prefix: Text = "", n: int = 200, temperature: float = 1.0, random_state: RandomState = None
    ) -> str:
        """Return characters that follow a prefix, each drawn from the model's predictions and read as the next one.

        Parameters
        ----------
        prefix : str, pathlib.Path or text file, default=""
            Text to read first.  If it is empty, the first character is drawn by how often the training text has each.
        n : int, default=200
            Number of characters to generate, >= 0.
        temperature : float, default=1.0
            Number >= 0; probabilities are taken to the power of 1 / temperature: below 1 likely characters become
            likelier still, and with 0 the likeliest one is always taken.
        random_state : int, RandomState or None, default=None
            Seed for the characters that are drawn.

        Returns
        -------
        str
            The ``n`` new characters, without the prefix.

        Raises
        ------
        ValueError, TypeError
            As in `predict_proba`, for the prefix, which may be empty; or if another argument is out of its range.
        """
        network = self._network()
        prefix = read_text(prefix, "prefix", least=0)
        n = validation.check_integer("n", n, 0)
        temperature = validation.check_number("temperature", temperature)
        uniforms = validation.check_random_state(random_state).random_sample(n)
        with validation.naming("prefix"):
            (codes,), first = self._encode([prefix]), 0
        found = np.zeros(n, np.int32)
        if not len(codes) and n:
            found[:1] = codes = self._first_code(temperature, uniforms[:1])
            first = 1
        if first < n:
            initial = network.initial_states(1)
            state = np.zeros(network.n_carried, network.dtype) if initial is None else initial[0]
            layers = layers_of_one_direction(network, "text goes on at its end")
            with backend.one_blas_thread():
                is_finite = backend.kernels().generate(
                    network.n_features,
                    layers,
                    network.Psi,
                    np.ascontiguousarray(codes, np.int32),
                    temperature,
                    uniforms[first:],
                    state,
                    found[first:],
                )
            check_text_outputs(is_finite)
        return "".join(map(self.vocabulary_.__getitem__, found.tolist()))

    def _first_code(self, temperature: float, uniform: NDArray[np.float64]) -> Array:
        if temperature == 0:
            return np.array([self.counts_.argmax()])
        with np.errstate(divide="ignore", over="ignore"):  # of characters that were never there, or hardly ever are
            p = softmax(np.log(self.counts_ / self.counts_.max()) / temperature)
        return np.searchsorted(p.cumsum(), uniform).clip(max=len(p) - 1)

    def _encode(self, texts: list[str]) -> list[Array]:
        stand_in = check_stand_in(self.unknown, self.vocabulary_)
        return _encoded(texts, self.vocabulary_, stand_in)

    def _checked(self, outputs: FloatArray) -> FloatArray:
        check_text_outputs(np.isfinite(outputs).all())
        return outputs


def _parts_of_outputs(outputs: FloatArray) -> Iterator[slice]:
    """Slices of rows with about so many numbers together as there are rows in a block."""
    n_rows = max(1, validation.BLOCK // outputs.shape[1])
    for first in range(0, len(outputs), n_rows):
        yield slice(first, first + n_rows)


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _vocabulary(*texts: str) -> str:
    """The characters of texts, sorted."""
    found = np.zeros(0, np.uint32)
    for text in texts:
        for part in validation.blocks(len(text)):
            found = np.union1d(found, _code_points(text[part]))
    return _characters(check_vocabulary(found))


def _characters(code_points: NDArray[np.uint32]) -> str:
    return code_points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _encoded(texts: list[str], vocabulary: str, stand_in: int | None) -> list[Array]:
    """Codes of the characters of each text; unknown characters get the code ``stand_in``, unless that is None."""
    encoded, known = [], _code_points(vocabulary)
    for i, text in enumerate(texts):
        found = np.empty(len(text), np.uint8 if len(known) <= 1 << 8 else np.uint16)
        for part in validation.blocks(len(text)):
            points = _code_points(text[part])
            codes = np.minimum(np.searchsorted(known, points), len(known) - 1)
            unknown = known[codes] != points
            if unknown.any():
                position = part.start + int(unknown.argmax())
                check_no_unknown(stand_in, text, position, i if len(texts) > 1 else None, vocabulary)
                codes[unknown] = stand_in
            found[part] = codes
        encoded.append(found)
    return encoded


def _counts(encoded: list[Array], n_symbols: int) -> IntArray:
    """Number of times that each symbol occurs."""
    found = np.zeros(n_symbols, np.int64)
    for codes in encoded:
        for part in validation.blocks(len(codes)):
            found += np.bincount(codes[part], minlength=n_symbols)
    return found


def _symbols(encoded: list[Array], n_symbols: int) -> Sequences:
    lengths = np.array([len(codes) for codes in encoded], dtype=np.intp)
    codes = encoded[0] if len(encoded) == 1 else np.concatenate(encoded)
    return Sequences(codes[:, None], np.cumsum(lengths) - lengths, lengths, n_symbols=n_symbols)


def _predictions(encoded: list[Array], n_symbols: int) -> tuple[Sequences, Array]:
    """All characters but the last of each text, and those that follow them, a byte or two each."""
    following = encoded[0][1:] if len(encoded) == 1 else np.concatenate([codes[1:] for codes in encoded])
    return _symbols([codes[:-1] for codes in encoded], n_symbols), following


def check_characters(vocabulary: object) -> str:
    """Raise an error unless the vocabulary is a string."""
    if not isinstance(vocabulary, str):
        raise TypeError(f"vocabulary is of type {type(vocabulary).__name__}; pass a str of all characters")
    return vocabulary


def check_same_vocabulary(vocabulary: str | None, known: str) -> None:
    """Raise unless there is no other vocabulary than the ``known`` one."""
    if vocabulary is not None and vocabulary != known:
        raise ValueError(f"vocabulary is {vocabulary!r}, and was {known!r} before; pass the same, or None")


def check_vocabulary(code_points: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the code points of the characters of a text, or raise unless they are several, and not too many."""
    if len(code_points) < 2:
        raise ValueError(
            f"text has no other character than {''.join(map(chr, code_points))!r}, so that there is nothing to "
            "predict; pass a text with different characters"
        )
    if len(code_points) > 1 << 16:
        raise ValueError(
            f"text has {len(code_points)} different characters; replace the rare ones, so that at most {1 << 16} "
            "are left"
        )
    return code_points


def check_stand_in(unknown: object, vocabulary: str) -> int | None:
    """Return the code of the character ``unknown``, or None for None; raise unless it is in the vocabulary."""
    if unknown is None:
        return None
    if not isinstance(unknown, str) or len(unknown) != 1:
        raise (ValueError if isinstance(unknown, str) else TypeError)(
            f"unknown is {unknown!r}; pass one character of the training text, or None"
        )
    if unknown not in vocabulary:
        raise ValueError(f"unknown is {unknown!r}, which the training text does not have; pass one of {vocabulary!r}")
    return vocabulary.index(unknown)


def check_no_unknown(stand_in: int | None, text: str, position: int, i: int | None, vocabulary: str) -> None:
    """Raise if the character at this position, of the text or of the i-th one, is unknown and has no stand-in."""
    if stand_in is None:
        character, where = text[position], "" if i is None else f"[{i}]"
        raise ValueError(
            f"text{where} has the character {character!r} (U+{ord(character):04X}) at position {position}, which is "
            f"not among the {len(vocabulary)} of the training text; take it out, or set unknown to one of those, such "
            "as unknown=' ', to be read in its place"
        )


def check_text_outputs(are_finite: bool | np.bool_) -> None:
    """Raise when a roll-out over text has overflowed."""
    if not are_finite:
        raise ValueError("the network's outputs are not finite; fit with activation='tanh', or a smaller radius")
