"""Networks for other programs: torch modules, there and back, and ONNX files."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from admmirnn import networks, validation
from admmirnn._typing import Array, FilePath, FloatArray, Frame, IntArray, Self, TorchModule
from admmirnn.data.sequences import Sequences
from admmirnn.export import c
from admmirnn.export.c import CReport
from admmirnn.export.network import Network
from admmirnn.files.format import replace_file
from admmirnn.networks import StackedRNN
from admmirnn.optional import import_optional

if TYPE_CHECKING:
    from onnx import ModelProto
else:
    ModelProto = Any


class Exports:
    """The methods of estimators that read sequences and hand their network on."""

    if TYPE_CHECKING:
        s_0: str | ArrayLike | None
        _several: bool
        _scale: float

        @property
        def _standard(self) -> NDArray[np.float64] | None: ...

        _frame: Frame
        _form_of_targets: str
        classes_: Array

        def _members(self) -> list[Self]: ...

        def _answer(self) -> Any: ...

        def _network(self) -> networks.Network: ...

        def _sequences(self, X: ArrayLike, network: networks.Network) -> Sequences: ...

        def _outputs(self, X: ArrayLike) -> tuple[FloatArray, IntArray]: ...

    def _exported(self, dtype: DTypeLike | None = None, *, folds: bool = True) -> Network:
        return Network.of_fitted(
            self._network(),
            scale=self._scale,
            standard=self._standard,
            frame=self._frame,
            every_step=self._form_of_targets != "sequence",
            target_scale=getattr(self, "target_scale_", 1.0),
            target_mean=getattr(self, "target_mean_", 0.0),
            dtype=dtype,
            folds=folds,
        )

    def to_torch(self) -> TorchModule:
        """Return the network as a torch module: recurrent layers, then `torch.nn.Linear`.

        Its outputs are those of the network: of a classifier o, what `torch.nn.CrossEntropyLoss` calls logits, column k
        that of ``classes_[k]``; of a regressor the values that `predict` returns, in the units of ``y``.

        Returns
        -------
        TorchModule
            ``module(x, lengths=None)``: ``x`` (n_sequences, n_steps, n_features) holds observations as `predict` takes
            them, shorter sequences filled up at their ends with anything; ``lengths`` (n_sequences,) says how long each
            is, by default all of ``n_steps``.  Returns (n_sequences, K), or with a target for each step (n_sequences,
            n_steps, K), which is zero after a sequence's end; with ``frame`` its steps are the frames.

            ``module.rnn`` is a `torch.nn.RNN` (``cell="elman"`` with the activation "tanh" or "relu"), a `torch.nn.GRU`
            ("gru") or a `torch.nn.LSTM` ("lstm") of as many layers and directions.  With other activations, and of
            "fastgrnn" and "ugrnn", a layer is a loop with parameters of the same names, and layers of different sizes
            are modules of their own: then ``module.rnn`` is a `TorchModuleList`, from the first layer up.
            ``module.linear`` is a `torch.nn.Linear`.  ``scale``, the standardisation of features and a regressor's
            scaling of targets are parts of their weights, so that `from_torch` needs none of them.  But where the mean
            of a feature is more than 32 standard deviations from zero, rounding would not let the weights take it up:
            then ``module.standard`` (2, n_features) has the means and the factors by which the module itself
            standardises ``x``.  The weights are copies, of the estimator's dtype.

            Of several networks (``n_networks``) ``module.networks`` is a `TorchModuleList` of such modules, and the
            outputs are those with the mean probabilities, or mean values.

        Raises
        ------
        ImportError
            If torch is not installed: ``pip install 'admmirnn[torch]'``.
        ValueError
            If targets are too large for the estimator's dtype.

        Notes
        -----
        With ``s_0="learn"`` the state before the first step is a parameter ``s_0``, else, unless it is zero, a buffer.
        Those of the layers above are ``s_0_2`` and so on, and cell states ``c_0``, ``c_0_2``.

        Examples
        --------
        >>> module = model.to_torch().eval()  # doctest: +SKIP
        >>> logits = module(torch.from_numpy(X))  # doctest: +SKIP
        """
        exported = [member._exported() for member in self._members()]
        learns_s_0, part = isinstance(self.s_0, str), _torch_part("to_torch")
        modules = [part.module_of(network, learns_s_0=learns_s_0) for network in exported]
        found: TorchModule = modules[0] if len(modules) == 1 else part.MeanModule(modules, self._answer().name)
        return found

    def to_onnx(
        self, path: FilePath, *, lengths: bool = True, states: bool = False, dtype: str = "float32"
    ) -> ModelProto:
        """Write the network to an ONNX file, which onnxruntime and other programs run.

        The file takes and returns float32, whatever the estimator's dtype: onnxruntime has no other RNN.  Layers are
        the operators RNN, GRU and LSTM, or of the cells "fastgrnn" and "ugrnn" loops (Scan).

        Parameters
        ----------
        path : path-like
            File to write; a file that is there is replaced.
        lengths : bool, default=True
            Whether sequences may have different lengths, given as a second input; otherwise those that are read
            together are all of ``n_steps``.
        states : bool, default=False
            Whether sequences can be read in pieces, one call after the other: what is carried from step to step is
            given to each call and returned by it.  With ``frame``, which must not overlap, every piece has a multiple
            of the stride of observations.
        dtype : {"float32", "int8"}, default="float32"
            Type of the weights.  With "int8" onnxruntime's dynamic quantisation makes them integers of 8 bits, for the
            cells of which it has such a form: "lstm", "fastgrnn" and "ugrnn"; the file is then for onnxruntime alone.

        Returns
        -------
        onnx.ModelProto
            What the file holds.  Its inputs are

            * ``X``, float32 (n_sequences, n_steps, n_features): observations as `predict` takes them, shorter sequences
              filled up at their ends with any finite numbers;
            * ``lengths``, int64 (n_sequences,): how long each sequence is, from 1 (with ``frame`` its length) to
              n_steps.

            Of a classifier its outputs are

            * ``label`` (n_sequences,): what `predict` returns, int64, string, bool or double; where there may be
              several labels, int64 (n_sequences, K) of zeros and ones;
            * ``probabilities``, float32 (n_sequences, K): what `predict_proba` returns, unless the loss has none;
            * ``outputs``, float32 (n_sequences, K): o, column k that of ``classes_[k]``.

            Of a regressor there is ``outputs`` alone, (n_sequences, K), in the units of ``y``.  With a target for each
            step all have a second axis of n_steps, or of as many frames.  After a sequence's end ``outputs`` is zero,
            and the others mean nothing.

            With ``states=True`` there are more inputs, what sequences start from, each with an output, what they have
            come to, with N in the place of 0, which is the input of the next call:

            * ``s_0`` and ``s_N``, float32 (n_sequences, n): the states, zeros or ``s_0_`` before the first step;
              ``s_0_2`` and ``s_N_2`` those of the second layer, and so on; with "lstm" ``c_0`` and ``c_N``, ``c_0_2``
              and so on, the cell states;
            * ``pooled_0`` and ``pooled_N``, float32 (n_sequences, n), with ``readout="mean"`` the sum of the states so
              far, zero at first, with "max" the largest ones, minus infinity at first;
            * ``steps_0`` and ``steps_N``, int64 (n_sequences,), with "mean" how many steps there were.

            Then ``outputs`` are those of all that has been read so far.

            Of several networks (``n_networks``) ``probabilities`` are the means of theirs, of which ``outputs`` are the
            logarithms (with several labels the logits); values and other outputs are means.

        Raises
        ------
        ImportError
            If onnx is not installed: ``pip install 'admmirnn[onnx]'``.
        ValueError
            If ``label`` has no type for ``classes_``, such as bytes, times and integers that int64 does not hold, or
            targets are too large for float32; or ``states`` is True and the network reads from the end as well, or
            frames overlap, or there are several networks; or ``dtype`` is "int8" and onnxruntime has the cell with
            floating-point weights alone.
        OSError
            If the file cannot be written; one that was there is as it was.

        Examples
        --------
        >>> model.to_onnx("model.onnx")  # doctest: +SKIP
        >>> session = onnxruntime.InferenceSession("model.onnx")  # doctest: +SKIP
        >>> label, p, o = session.run(None, {"X": X, "lengths": lengths})  # doctest: +SKIP
        """
        exported = [member._exported(np.float32) for member in self._members()]
        network = exported[0]
        validation.check_boolean("lengths", lengths)
        if validation.check_choice("dtype", dtype, ("float32", "int8")) == "int8":
            check_quantised_in_onnx(network)
        if validation.check_boolean("states", states):
            check_carries_states(network, len(exported))
        path = validation.check_new_path(path)
        import_optional("onnx", "onnx", "to_onnx")
        from admmirnn.export import onnx_graph

        labels = None
        if hasattr(self, "classes_"):
            labels = "several" if self._several else check_onnx_classes(self.classes_)
        probabilities = hasattr(self, "predict_proba")
        model = onnx_graph.model_of(
            exported, lengths=lengths, labels=labels, probabilities=probabilities, states=states
        )
        if dtype == "int8":
            import_optional("onnxruntime.quantization", "onnx", "to_onnx with dtype='int8'")
            model = onnx_graph.quantised(model)
        replace_file(path, model.SerializeToString())
        return model

    def to_c(
        self,
        path: FilePath,
        dtype: str = "float32",
        *,
        calibration_data: tuple[ArrayLike, ArrayLike | None] | None = None,
    ) -> CReport:
        """Write the network as C99: a source and a header, which need no library, no memory but the caller's, no libm.

        Weights are constants; a matrix with many zeros, as `Lasso` makes them, is kept without them, and in float32 one
        of a low rank, as `Rank` makes it, as a product of two narrow ones, where that is smaller.  ``scale``, the
        standardisation of features and a regressor's scaling of targets are parts of the weights, but for features with
        means far from zero, and in integers, which the source brings into range itself.

        Parameters
        ----------
        path : path-like
            Source to write, such as "model.c"; the header, "model.h", is written beside it.  Both replace files that
            are there.  Public names in C begin with the name of the file, here ``model``.
        dtype : {"float32", "int8"}, default="float32"
            Arithmetic of the source.  With "int8" weights have 8 bits and a factor for each row, what they are
            multiplied by has 16 bits, sums of products have 32 bits, and tanh and the sigmoid come from a table;
            observations and outputs are float32.
        calibration_data : (X, y), optional
            Sequences such as the network will read, which "int8" needs: they show how large observations are, feature
            by feature, and, with activations that have no bound, the states.  Room is left for twice as much, and what
            is larger is cut off.  With their targets ``y``, which may be None, the accuracy is measured as well.

        Returns
        -------
        admmirnn.export.c.CReport
            Bytes of weights, of a state and of the stack; its `measure` asks a compiler for the bytes of code.  With
            "int8" its ``accuracy`` compares the outputs for the calibration data with those of the network:
            "largest_error" and "mean_error" of the outputs as the source computes them, of a classifier "agreement",
            the share of equal answers, and with ``y`` "score" and "score_int8", what `score` says of both.

        Raises
        ------
        ValueError
            If there are several networks, the network is bidirectional or has ``missing="indicator"``, weights are
            too large for float32 or integers, or ``path`` does not end with ".c" or is no name for C; or calibration
            data are missing, not wanted, or do not fit the network.
        OSError
            If the files cannot be written.

        Notes
        -----
        The header says what there is:

        * ``void model_init(model_state *state)`` lets a stream start; there may be any number of states.
        * ``int model_step(model_state *state, const float *x, float *outputs)`` reads the next observation, as
          `predict` takes it, and writes the outputs for all that has been read: of a regressor the values that
          `predict` returns, of a classifier o, one for each class.
        * ``size_t model_predict(const float *x, size_t n_steps, float *outputs)`` reads a sequence, and writes one row
          of outputs or, with a target for each step, one for each.
        * Of a classifier ``int model_label(const float *outputs)``, the index of the label in ``classes_``, and
          ``void model_probabilities(const float *outputs, float *probabilities)``, unless the loss has none.

        In float32 tanh, sigmoid and exp are the file's own, within 4e-7; in integers they are within 1.2e-4.  With
        ``frame=(length, stride)`` a stream has ``stride`` states, so that its outputs are those of `predict` after each
        observation.

        Examples
        --------
        >>> report = model.to_c("model.c")  # doctest: +SKIP
        >>> report.weight_bytes, report.state_bytes  # doctest: +SKIP
        (6420, 128)
        """
        validation.check_choice("dtype", dtype, ("float32", "int8"))
        X, y = check_calibration_data(calibration_data, dtype)
        check_is_one_in_c(len(self._members()))
        check_reads_no_indicators(getattr(self, "_missing", "refuse"))
        name = c.name_of(path)
        network = self._exported(np.float32, folds=dtype != "int8")
        c.check_reads_from_the_start(network)
        if dtype == "float32":
            return c.write(c.FloatSource(network, self._answers_in_c(), name), path, dtype)
        sequences = self._sequences(X, self._network())
        fixed = c.Fixed(network, self._ranges(network, sequences))
        accuracy = self._accuracy(fixed.outputs(sequences), sequences, X, y)
        return c.write(c.FixedSource(fixed, self._answers_in_c(), name), path, dtype, accuracy)

    def _ranges(self, exported: Network, sequences: Sequences) -> c.Ranges:
        """How large numbers are in sequences."""
        largest = np.zeros(sequences.observations.shape[1])
        for _, piece in sequences.pieces(1 << 20):
            read = piece if exported.standard is None else sequences.as_read(piece, np.dtype(np.float64))
            largest = np.maximum(largest, np.abs(read.astype(np.float64)).max(axis=0))
        if not largest.any():
            raise ValueError("calibration_data has nothing but zeros in X; pass sequences such as will be read")
        largest[largest == 0] = largest.max()  # as large as others, if it is ever seen
        states: list[float | None] = [None] * len(exported.layers)
        network = self._network()
        if not network.layers[0][0].cell.is_bounded:
            for layer in range(len(states)):
                S = (
                    network.states(sequences, layer + 1)
                    if isinstance(network, StackedRNN)
                    else network.states(sequences)
                )
                states[layer] = float(np.abs(S).max()) or 1.0
        return c.Ranges(largest, states)

    def _accuracy(self, outputs: FloatArray, sequences: Sequences, X: Any, y: Any) -> dict[str, float]:
        """What outputs of integers cost, in comparison with those of the network."""
        scale, mean = (
            getattr(self, name, of_none) for name, of_none in (("target_scale_", 1.0), ("target_mean_", 0.0))
        )
        exact = self._outputs(X)[0]
        error = np.abs(outputs - (scale * exact + mean))
        found = {"largest_error": float(error.max()), "mean_error": float(error.mean())}
        estimator: Any = self
        probe = copy.copy(estimator)
        probe._outputs = lambda X: ((outputs - mean) / scale, sequences.lengths)
        if hasattr(self, "classes_"):
            several = self._several
            answers = [o > 0 if several else o.argmax(axis=1) for o in (exact, outputs)]
            found["agreement"] = float((answers[0] == answers[1]).mean())
        if y is not None:
            found |= {"score": float(estimator.score(X, y)), "score_int8": float(probe.score(X, y))}
        return found

    def _answers_in_c(self) -> c.Answers:
        if not hasattr(self, "classes_"):
            return c.Answers(("Outputs are values, in the units of y.",))
        classes = self.classes_.tolist()
        about = [f"Output {k} is that of {label!r}." for k, label in enumerate(classes)]
        if not hasattr(self, "predict_proba"):
            return c.Answers(tuple(about), label=not self._several)
        return c.Answers(
            tuple(about), label=not self._several, probabilities="logistic" if self._several else "softmax"
        )


def layers_of_torch(
    rnn: TorchModule | Sequence[TorchModule], linear: TorchModule
) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    """Read recurrent layers, such as a `torch.nn.GRU`, or a list of them, and a `torch.nn.Linear`.

    Returns
    -------
    dict
        Weights by name.
    dict
        The settings of an estimator that the layers stand for.

    Raises
    ------
    ValueError, TypeError
        If they are no such layers, or cannot follow one another.
    """
    found: tuple[dict[str, FloatArray], dict[str, Any]] = _torch_part("from_torch").layers_of(rnn, linear)
    return found


def _torch_part(what: str) -> Any:
    import_optional("torch", "torch", what)
    from admmirnn.export import torch_module

    return torch_module


def check_calibration_data(calibration_data: Any, dtype: str) -> tuple[Any, Any]:
    """Return X and y of ``calibration_data``, or raise unless they are there where they are needed."""
    if dtype != "int8":
        if calibration_data is not None:
            raise ValueError(f"calibration_data is given and dtype is {dtype!r}, which needs none; leave it out")
        return None, None
    if calibration_data is None:
        raise ValueError(
            "dtype is 'int8' and calibration_data is None; pass (X, y) with sequences such as the network will read, "
            "or (X, None)"
        )
    if not isinstance(calibration_data, (tuple, list)) or len(calibration_data) != 2 or calibration_data[0] is None:
        raise TypeError(
            f"calibration_data is of type {type(calibration_data).__name__}; pass a pair (X, y), or (X, None)"
        )
    return calibration_data[0], calibration_data[1]


def check_is_one_in_c(n_networks: int) -> None:
    """Raise if there are several networks."""
    if n_networks > 1:
        raise ValueError(
            f"there are {n_networks} networks, and a C source has one; export one of estimator.estimators_, or fit "
            "with n_networks=1"
        )


def check_reads_no_indicators(missing: str) -> None:
    """Raise if a network is told which observations are missing, which C sources do not tell it."""
    if missing == "indicator":
        raise ValueError(
            "missing is 'indicator', and C sources read observations that are there; fit with missing='forward', and "
            "let the device carry the last values on"
        )


def check_carries_states(network: Network, n_networks: int) -> None:
    """Raise unless a file of so many such networks can read a sequence in pieces."""
    if n_networks > 1:
        raise ValueError(
            f"states is True and there are {n_networks} networks, each of which would carry its own; pass "
            "states=False, or export one of estimator.estimators_"
        )
    length, stride = network.frame
    if network.n_directions > 1:
        raise ValueError(
            "states is True and the network is bidirectional: it reads sequences from their ends as well; pass "
            "states=False"
        )
    if length > stride:
        raise ValueError(
            f"states is True and frames of {length} observations overlap, as there is one every {stride}: a piece of a "
            "sequence does not hold all of them; pass states=False"
        )


def check_quantised_in_onnx(network: Network) -> None:
    """Raise unless onnxruntime has a network's layers with weights of 8 bits."""
    if network.cell not in ("lstm", "fastgrnn", "ugrnn"):
        raise ValueError(
            f"dtype is 'int8' and the cell is {network.cell!r}, of which onnxruntime has no form with 8 bits; "
            "pass dtype='float32', fit with cell='lstm', 'fastgrnn' or 'ugrnn', or see to_c, which has all cells"
        )


def check_onnx_classes(classes: Array) -> Array:
    """Return labels as an array that an ONNX file can hold, or raise."""
    labels = classes.tolist()
    if classes.dtype.kind == "U" or (classes.dtype == object and all(isinstance(label, str) for label in labels)):
        return classes.astype(object)
    numbers = np.array(labels) if classes.dtype == object else classes
    for kinds, dtype in (("b", np.bool_), ("iu", np.int64), ("f", np.float64)):
        if numbers.dtype.kind in kinds and (found := numbers.astype(dtype)).tolist() == labels:
            return found
    raise ValueError(
        f"classes_ has {labels[-1]!r}, whose type labels cannot have in an ONNX file; fit with strings, "
        "booleans, or numbers that int64 or float64 hold"
    )
