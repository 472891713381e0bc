"""Exports: torch modules and ONNX files against predict, for every network, read-out and form of targets."""

import errno
import os
import sys
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from admmirnn import RNNClassifier, RNNRegressor, load
from admmirnn.activations import ACTIVATIONS
from admmirnn.networks.blocks import weights_of
from admmirnn.networks.cells import CELLS, GATED

pytestmark = pytest.mark.elman

TOLERANCES = {"float32": 1e-5, "float64": 1e-11}
KINDS = ("classes", "several labels", "value", "values")
FORMS = ("last", "mean", "max", "each")
D = 2


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def onnxruntime():
    pytest.importorskip("onnx")
    return pytest.importorskip("onnxruntime")


def fitted(kind, form, activation="tanh", *, seed=0, n_classes=3, hidden_size=6, **settings):
    """A model whose every weight has been drawn, and sequences of unequal lengths."""
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(length, D)) for length in (9, 4, 12, 7, 5, 12, 4, 8, 6, 10)]
    frame = settings.get("frame", (1, 1))
    shape = [((len(x) - frame[0]) // frame[1] + 1,) if form == "each" else () for x in X]
    if kind == "classes":
        y = [rng.permutation(np.resize(np.arange(n_classes), max(np.prod(s, dtype=int), 1))).reshape(s) for s in shape]
        y = y if form == "each" else np.resize(np.arange(n_classes), len(X))
    elif kind == "several labels":
        y = [rng.integers(0, 2, size=(*s, 3)) for s in shape]
        settings["loss"] = "sigmoid_cross_entropy"
    else:
        y = [100 + 20 * rng.normal(size=(*s, 3) if kind == "values" else s) for s in shape]
    of_kind = RNNRegressor if kind in ("value", "values") else RNNClassifier
    readout = "last" if form == "each" else form
    model = of_kind(hidden_size, activation=activation, readout=readout, max_epochs=1, random_state=0, **settings)
    model.fit(X, y if form == "each" else np.array(y))
    for name, weights in weights_of(model).items():
        size = 0.4 if name.startswith("W") else 1
        vars(model)[f"{name}_"] = (size * rng.normal(size=weights.shape)).astype(weights.dtype)
    return model, X


def padded(X, dtype, n_more=2):
    """A batch filled up with numbers that must not matter, and the lengths."""
    lengths = np.array([len(x) for x in X])
    batch = np.full((len(X), lengths.max() + n_more, D), 7.5, dtype)
    for row, x in zip(batch, X, strict=True):
        row[: len(x)] = x
    return batch, lengths


def expected_of(model, X):
    """What the outputs must be, for each sequence on its own: (K,), or (n_steps, K)."""
    if isinstance(model, RNNRegressor):
        each = [model.predict([x])[0] for x in X]
        return [np.asarray(values)[..., None] if model._single else values for values in each]
    outputs = [model._outputs([x])[0] for x in X]
    return outputs if model._form_of_targets != "sequence" else [rows[0] for rows in outputs]


def assert_equal_outputs(found, expected, tolerance):
    """The first rows of each sequence, and zeros behind them."""
    scale = max(1.0, max(np.abs(rows).max() for rows in expected))
    for own, rows in zip(found, expected, strict=True):
        if rows.ndim == 2:
            assert not own[len(rows) :].any()
            own = own[: len(rows)]
        assert own.shape == rows.shape
        np.testing.assert_allclose(own, rows, rtol=0, atol=tolerance * scale)


def with_module(torch, model, X, lengths=None):
    with torch.no_grad():
        return model.to_torch()(torch.from_numpy(X), lengths).numpy()


def run_onnx(onnxruntime, model, path, X, lengths=None):
    model.to_onnx(path, lengths=lengths is not None)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {"X": X.astype(np.float32)} | ({} if lengths is None else {"lengths": lengths.astype(np.int64)})
    names = [output.name for output in session.get_outputs()]
    return SimpleNamespace(**dict(zip(names, session.run(None, given), strict=True)))


def assert_answers(found, model, X):
    """The label and the probabilities of every sequence or step."""
    if not isinstance(model, RNNClassifier):
        assert set(vars(found)) == {"outputs"}
        return
    answers = model.predict(X), model.predict_proba(X)
    for own, own_p, labels, p in zip(found.label, found.probabilities, *answers, strict=True):
        if model._form_of_targets != "sequence":
            own, own_p = own[: len(labels)], own_p[: len(labels)]
        np.testing.assert_array_equal(own, labels)
        np.testing.assert_allclose(own_p, p, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
class TestEveryNetwork:
    @pytest.mark.parametrize("dtype", TOLERANCES)
    def test_to_torch(self, torch, activation, form, kind, dtype):
        model, X = fitted(kind, form, activation, dtype=dtype)
        expected = expected_of(model, X)
        batch, lengths = padded(X, dtype)
        assert_equal_outputs(with_module(torch, model, batch, lengths), expected, TOLERANCES[dtype])
        alone = [with_module(torch, model, x[None].astype(dtype))[0] for x in X]
        assert_equal_outputs(alone, expected, TOLERANCES[dtype])

    @pytest.mark.parametrize("dtype", TOLERANCES)
    def test_to_onnx(self, onnxruntime, tmp_path, activation, form, kind, dtype):
        model, X = fitted(kind, form, activation, dtype=dtype)
        found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", *padded(X, dtype))
        assert_equal_outputs(found.outputs, expected_of(model, X), 1e-5)
        assert_answers(found, model, X)
        equal = [x[:4] for x in X]
        found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", np.array(equal))
        assert_equal_outputs(found.outputs, expected_of(model, equal), 1e-5)
        assert_answers(found, model, equal)


@pytest.mark.parametrize("frame", [(1, 2), (2, 2), (3, 1), (3, 2), (2, 5), (4, 3)])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["classes", "value"])
class TestFrames:
    """With a factor of the observations, and a state before the first step."""

    settings = {"scale": 0.3, "s_0": "learn"}

    def test_to_torch(self, torch, frame, form, kind):
        model, X = fitted(kind, form, frame=frame, dtype="float64", **self.settings)
        found = with_module(torch, model, *padded(X, "float64", n_more=3))
        n_frames = (12 + 3 - frame[0]) // frame[1] + 1
        assert form != "each" or found.shape[1] == n_frames
        assert_equal_outputs(found, expected_of(model, X), 1e-11)
        alone = [with_module(torch, model, x[None])[0] for x in X]
        assert_equal_outputs(alone, expected_of(model, X), 1e-11)

    def test_to_onnx(self, onnxruntime, tmp_path, frame, form, kind):
        model, X = fitted(kind, form, frame=frame, **self.settings)
        found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", *padded(X, "float32", n_more=3))
        assert_equal_outputs(found.outputs, expected_of(model, X), 1e-5)
        assert_answers(found, model, X)
        for length in (4, 7):
            equal = [x[:length] for x in X if len(x) >= length]
            found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", np.array(equal))
            assert_equal_outputs(found.outputs, expected_of(model, equal), 1e-5)


@pytest.mark.parametrize(
    "kind, frame, activation",
    [("classes", None, "tanh"), ("values", (3, 2), "sigmoid")]
    + [("value", None, activation) for activation in ("relu", "leaky_relu", "identity")],
)
@pytest.mark.parametrize("form", FORMS)
class TestBidirectional:
    """The network that reads from the end begins at the end of each sequence."""

    def test_to_torch(self, torch, form, kind, frame, activation):
        model, X = fitted(kind, form, activation, frame=frame or (1, 1), bidirectional=True, dtype="float64")
        expected = expected_of(model, X)
        assert_equal_outputs(with_module(torch, model, *padded(X, "float64")), expected, 1e-11)
        assert_equal_outputs([with_module(torch, model, x[None])[0] for x in X], expected, 1e-11)
        module = model.to_torch()
        again = type(model).from_torch(
            module.rnn, module.linear, frame=frame, readout=model.readout, every_step=form == "each"
        )
        for one, other in zip(again.predict(X), model.predict(X), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11)

    def test_to_onnx(self, onnxruntime, tmp_path, form, kind, frame, activation):
        model, X = fitted(kind, form, activation, frame=frame or (1, 1), bidirectional=True)
        found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", *padded(X, "float32"))
        assert_equal_outputs(found.outputs, expected_of(model, X), 1e-5)
        assert_answers(found, model, X)


NETWORKS = [
    {"hidden_size": hidden_size, "bidirectional": bidirectional} | of_cell
    for of_cell in [{"activation": one} for one in ACTIVATIONS] + [{"cell": one} for one in CELLS if one != "elman"]
    for hidden_size in (6, (6, 6), (7, 4))
    for bidirectional in (False, True)
    if of_cell.get("cell") or hidden_size != 6  # these are above
]


def every_form_of_every_network():
    """All that a network reads and is asked for, but most of it for the longer tests only."""
    forms = list(product(KINDS, FORMS))
    for i, network in enumerate(NETWORKS):
        for j, (kind, form) in enumerate(forms):
            name = "-".join(str(part) for part in (*network.values(), kind, form))
            marks = () if j == 5 * i % 16 else pytest.mark.slow
            yield pytest.param(network, kind, form, id=name, marks=marks)


@pytest.mark.parametrize(("network", "kind", "form"), list(every_form_of_every_network()))
class TestCellsAndLayers:
    """Those that have a module or an operator of their own, and the others."""

    def test_to_torch_and_back(self, torch, network, kind, form):
        model, X = fitted(kind, form, dtype="float64", **network)
        expected = expected_of(model, X)
        assert_equal_outputs(with_module(torch, model, *padded(X, "float64")), expected, 1e-11)
        assert_equal_outputs([with_module(torch, model, x[None])[0] for x in X[:3]], expected[:3], 1e-11)
        module = model.to_torch()
        settings = {"loss": model.loss} if kind == "several labels" else {}
        again = type(model).from_torch(
            module.rnn, module.linear, readout=model.readout, every_step=form == "each", **settings
        )
        assert again.cell == model._network().cell.name
        for name in ("hidden_size", "activation", "bidirectional", "dtype"):
            assert getattr(again, name) == getattr(model, name)
        for one, other in zip(again.predict(X), model.predict(X), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11)

    def test_to_onnx(self, onnxruntime, tmp_path, network, kind, form):
        model, X = fitted(kind, form, **network)
        found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", *padded(X, "float32"))
        assert_equal_outputs(found.outputs, expected_of(model, X), 1e-5)
        assert_answers(found, model, X)
        equal = [x[:4] for x in X]
        found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", np.array(equal))
        assert_equal_outputs(found.outputs, expected_of(model, equal), 1e-5)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("hidden_size", [6, (6, 6), (7, 4)])
@pytest.mark.parametrize("cell", CELLS)
def test_states_before_the_first_step(torch, onnxruntime, tmp_path, cell, hidden_size, dtype):
    """With a frame and a factor of the observations; those of LSTM are two for each layer."""
    how = {"frame": (2, 1), "scale": 0.5, "dtype": dtype}
    model, X = fitted("classes", "last", cell=cell, hidden_size=hidden_size, s_0="learn", **how)
    assert hasattr(model, "c_0_") == (cell == "lstm")
    expected, batch = expected_of(model, X), padded(X, dtype)
    assert_equal_outputs(with_module(torch, model, *batch), expected, TOLERANCES[dtype])
    found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", *batch)
    assert_equal_outputs(found.outputs, expected, 1e-5)
    module = model.to_torch()
    initial = {name: state.detach().numpy() for name, state in module.named_parameters() if name[1:3] == "_0"}
    n_layers = np.size(hidden_size)
    assert len(initial) == n_layers * (1 + (cell == "lstm"))
    again = RNNClassifier.from_torch(module.rnn, module.linear, frame=(2, 1), s_0="learn", init=initial)
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), rtol=0, atol=TOLERANCES[dtype])
    given = [np.full(size, 0.3) for size in np.atleast_1d(hidden_size)]
    s_0 = given if n_layers > 1 else given[0]
    model, _ = fitted("classes", "last", cell=cell, hidden_size=hidden_size, s_0=s_0, dtype=dtype)
    assert_equal_outputs(with_module(torch, model, *batch), expected_of(model, X), TOLERANCES[dtype])


PIECES = [  # of two layers, and of one where an operator has its state on its own
    pytest.param(cell, size, form, marks=() if cell == "lstm" or (size, form) == ((6, 4), "each") else pytest.mark.slow)
    for cell in CELLS
    for size in (6, (6, 4))
    for form in FORMS
]


@pytest.mark.parametrize(("cell", "hidden_size", "form"), PIECES)
def test_streams_go_on_piece_by_piece(onnxruntime, tmp_path, cell, hidden_size, form):
    """What is carried makes the outputs of pieces those of the whole, of sequences of unequal lengths as well."""
    model, X = fitted("classes", form, cell=cell, hidden_size=hidden_size, s_0="learn", frame=(2, 2))
    sizes = np.atleast_1d(hidden_size)
    X = [x[: len(x) // 2 * 2] for x in X if len(x) >= 8]
    for with_lengths in (True, False):
        sequences = X if with_lengths else [x[:8] for x in X]
        model.to_onnx(tmp_path / "model.onnx", lengths=with_lengths, states=True)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        carried = {
            f"{part}_0{suffix}": np.tile(vars(model)[f"{part}_0{suffix}_"], (len(X), 1))
            for part in ("s", *("c" * (cell == "lstm")))
            for suffix in ("", "_2")[: len(sizes)]
        }
        if form in ("mean", "max"):
            carried["pooled_0"] = np.full((len(X), sizes[-1]), 0 if form == "mean" else -np.inf, np.float32)
        if form == "mean":
            carried["steps_0"] = np.zeros(len(X), np.int64)
        assert {one.name for one in session.get_inputs()} == {"X", *carried} | ({"lengths"} if with_lengths else set())
        pieces = []
        for begin, end in ((0, 2), (2, 6), (6, 12 if with_lengths else 8)):
            batch, lengths = padded([x[begin:end] for x in sequences], "float32", n_more=0)
            given = {"X": batch} | ({"lengths": lengths} if with_lengths else {})
            found = dict(zip(names, session.run(None, given | carried), strict=True))
            carried = {name: found[name.replace("_0", "_N")] for name in carried}
            steps = [length // 2 for length in lengths]
            pieces.append(
                [rows[:n] if form == "each" else rows for rows, n in zip(found["outputs"], steps, strict=True)]
            )
        whole = [np.concatenate(parts) if form == "each" else parts[-1] for parts in zip(*pieces, strict=True)]
        assert_equal_outputs(whole, expected_of(model, sequences), 1e-5)
    if form != "each":  # and from the first piece on, what is known by then
        assert_equal_outputs(pieces[0], expected_of(model, [x[:2] for x in sequences]), 1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bidirectional": True}, "the network is bidirectional"),
        ({"frame": (3, 2)}, "frames of 3 observations overlap"),
    ],
)
def test_networks_that_cannot_read_pieces_are_refused(onnxruntime, tmp_path, settings, message):
    model, _ = fitted("classes", "last", **settings)
    with pytest.raises(ValueError, match=message):
        model.to_onnx(tmp_path / "model.onnx", states=True)
    assert not list(tmp_path.iterdir())


def test_directions_of_different_sizes(torch, onnxruntime, tmp_path):
    """As pruning leaves them behind."""
    model, X = fitted("classes", "last", bidirectional=True)
    model.V_[:, [1, 2, 8]] = 0
    model.W_[:, [1, 2]] = model.W_reverse_[:, [2]] = 0
    pruned = model.prune()
    assert len(pruned.b_) == 4 and len(pruned.b_reverse_) == 5
    batch = padded(X, "float32")
    assert_equal_outputs(with_module(torch, pruned, *batch), expected_of(model, X), 1e-5)
    found = run_onnx(onnxruntime, pruned, tmp_path / "model.onnx", *batch)
    assert_equal_outputs(found.outputs, expected_of(model, X), 1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_layers_that_have_been_pruned(torch, onnxruntime, tmp_path, cell):
    """Each direction of each of them has lost other units."""
    model, X = fitted("classes", "mean", bidirectional=True, cell=cell, hidden_size=(6, 5))
    units = {(0, 0): [1, 2], (0, 1): [2], (1, 0): [0], (1, 1): [1, 3]}
    of_below, of_last = [1, 2, 6 + 2], [0, 5 + 1, 5 + 3]
    for block in model._network().blocks.values():
        weights = vars(model)[block.attribute]
        if block.letter == "W":
            weights[:, units[block.layer, block.direction]] = 0
        elif block.letter == "U" and block.layer == 1:
            weights[:, of_below] = 0
        elif block.letter == "V":
            weights[:, of_last] = 0
    pruned = model.prune()
    assert pruned.hidden_size == (5, 4)
    sizes = [[direction.n_hidden for direction in layer] for layer in pruned._network().layers]
    assert sizes == [[4, 5], [4, 3]]
    batch = padded(X, "float32")
    assert_equal_outputs(with_module(torch, pruned, *batch), expected_of(model, X), 1e-5)
    found = run_onnx(onnxruntime, pruned, tmp_path / "model.onnx", *batch)
    assert_equal_outputs(found.outputs, expected_of(model, X), 1e-5)


# torch


@pytest.mark.parametrize(("cell", "kind"), [("elman", "RNN"), ("gru", "GRU"), ("lstm", "LSTM")])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_of_one_size_are_one_module_of_torch(torch, cell, kind, bidirectional):
    model, _ = fitted("classes", "last", cell=cell, hidden_size=(6, 6), bidirectional=bidirectional)
    rnn = model.to_torch().rnn
    assert type(rnn) is getattr(torch.nn, kind)
    assert (rnn.num_layers, rnn.bidirectional, rnn.hidden_size, rnn.batch_first) == (2, bidirectional, 6, True)
    model, _ = fitted("classes", "last", cell=cell, hidden_size=(6, 4), bidirectional=bidirectional)
    rnns = model.to_torch().rnn
    assert type(rnns) is torch.nn.ModuleList and [type(one) for one in rnns] == 2 * [getattr(torch.nn, kind)]
    assert [one.hidden_size for one in rnns] == [6, 4]


def test_module_is_made_of_torch_layers(torch):
    model, _ = fitted("classes", "last", "relu")
    module = model.to_torch()
    assert type(module.rnn) is torch.nn.RNN and module.rnn.nonlinearity == "relu" and module.rnn.batch_first
    assert type(module.linear) is torch.nn.Linear
    for name, weights in {"weight_ih_l0": "U_", "weight_hh_l0": "W_", "bias_ih_l0": "b_"}.items():
        np.testing.assert_array_equal(getattr(module.rnn, name).detach(), getattr(model, weights))
    np.testing.assert_array_equal(module.linear.weight.detach(), model.V_)
    assert set(dict(module.named_parameters())) >= {"rnn.weight_ih_l0", "linear.bias"}
    module.linear.weight.data[:] = 0
    assert model.V_.any()


@pytest.mark.parametrize("learnt", [True, False])
def test_module_has_s_0_as_a_parameter_if_it_is_learnt(torch, learnt):
    model, _ = fitted("classes", "last", s_0="learn" if learnt else np.ones(6))
    module = model.to_torch()
    assert ("s_0" in dict(module.named_parameters())) == learnt
    assert ("s_0" in dict(module.named_buffers())) == (not learnt)
    np.testing.assert_array_equal(module.s_0.detach(), model.s_0_)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_loop_is_what_torch_has(torch, activation, bidirectional):
    """States, last states and gradients, of padded and of packed sequences in any order."""
    from admmirnn.export.torch_module import LoopRNN

    torch.manual_seed(0)
    theirs = torch.nn.RNN(3, 5, nonlinearity=activation, batch_first=True, bidirectional=bidirectional).double()
    ours = LoopRNN(3, 5, activation, bidirectional).double()
    ours.load_state_dict(theirs.state_dict())
    x, lengths = torch.randn(4, 7, 3, dtype=torch.float64), torch.tensor([2, 7, 1, 5])
    h_0 = torch.randn(1 + bidirectional, 4, 5, dtype=torch.float64)
    pack = torch.nn.utils.rnn.pack_padded_sequence
    packed = pack(x, lengths, batch_first=True, enforce_sorted=False)
    order = lengths.argsort(descending=True)
    already_sorted = pack(x[order], lengths[order], batch_first=True)
    for given in (x, packed, already_sorted):
        for start in (None, h_0):
            gradients = []
            for rnn in (theirs, ours):
                rnn.zero_grad()
                states, last = rnn(given, start)
                data = states if given is x else states.data
                (data.square().sum() + last.sum()).backward()
                gradients.append([data, last, *(parameter.grad.clone() for parameter in rnn.parameters())])
            for one, other in zip(*gradients, strict=True):
                torch.testing.assert_close(one, other)
            if given is packed:
                assert torch.equal(states.unsorted_indices, packed.unsorted_indices)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "network",
    [{"activation": "tanh"}, {"activation": "sigmoid"}]
    + [{"cell": cell, "hidden_size": (6, 4), "bidirectional": True} for cell in ("fastgrnn", "lstm")],
    ids=lambda network: next(iter(network.values())),
)
def test_padding_has_no_gradient(torch, network, form):
    """Not even where it is NaN."""
    model, X = fitted("classes", form, dtype="float64", **network)
    module, (batch, lengths) = model.to_torch(), padded(X, "float64")
    batch[np.arange(batch.shape[1]) >= lengths[:, None]] = np.nan
    x = torch.from_numpy(batch).requires_grad_()
    module(x, lengths).square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in module.parameters())
    for rows, length in zip(x.grad, lengths, strict=True):
        assert not rows[length:].any() and rows[:length].any()


def test_module_is_saved_and_loaded(torch, tmp_path):
    model, X = fitted("classes", "mean", "leaky_relu", s_0="learn")
    module, x = model.to_torch(), torch.from_numpy(X[0][None])
    torch.save(module, tmp_path / "module.pt")
    again = torch.load(tmp_path / "module.pt", weights_only=False)
    assert torch.equal(again(x), module(x))
    other = fitted("classes", "mean", "leaky_relu", s_0="learn", seed=1)[0].to_torch()
    assert not torch.equal(other(x), module(x))
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), module(x))


def test_module_reads_bytes_as_predict_does(torch):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, size=(30, 5, 3), dtype=np.uint8)
    model = RNNClassifier(6, scale=1 / 255, max_epochs=2, random_state=0).fit(X, np.arange(30) % 3)
    with torch.no_grad():
        found = model.to_torch()(torch.from_numpy(X))
    np.testing.assert_allclose(found.softmax(dim=1), model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    "x, lengths, message",
    [
        ((5, D), None, "x has the shape"),
        ((3, 5, D + 1), None, "x has the shape"),
        ((3, 1, D), None, "2 step"),
        ((0, 5, D), None, "at least one sequence"),
        ((3, 5, D), [5, 5], "lengths is"),
        ((3, 5, D), [5.0, 5.0, 5.0], "lengths is"),
        ((3, 5, D), [5, 1, 5], "from 1 to 5"),
        ((3, 5, D), [5, 6, 5], "from 5 to 6"),
    ],
)
def test_module_refuses_what_it_cannot_read(torch, x, lengths, message):
    module = fitted("classes", "last", frame=(2, 1))[0].to_torch()
    with pytest.raises(ValueError, match=message):
        module(torch.ones(x), lengths)


# from torch


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_from_torch(torch, dtype, activation, batch_first, bias):
    torch.manual_seed(0)
    rnn = torch.nn.RNN(D, 7, nonlinearity=activation, batch_first=batch_first, bias=bias).to(getattr(torch, dtype))
    linear = torch.nn.Linear(7, 3, bias=bias).to(getattr(torch, dtype))
    X = np.random.default_rng(0).normal(size=(5, 6, D)).astype(dtype)
    with torch.no_grad():
        states, _ = rnn(torch.from_numpy(X if batch_first else X.swapaxes(0, 1).copy()))
        outputs = linear(states if batch_first else states.transpose(0, 1)).numpy()
    tolerance = TOLERANCES[dtype]
    each = RNNRegressor.from_torch(rnn, linear, every_step=True)
    np.testing.assert_allclose(each.predict(X), outputs, atol=tolerance)
    np.testing.assert_allclose(each.predict([X[0], X[1, :4]])[1], outputs[1, :4], atol=tolerance)
    last = RNNRegressor.from_torch(rnn, linear)
    np.testing.assert_allclose(last.predict(X), outputs[:, -1], atol=tolerance)
    classes = ["b", "c", "a"]
    model = RNNClassifier.from_torch(rnn, linear, classes=classes)
    assert list(model.classes_) == ["a", "b", "c"] and model.U_.dtype == dtype
    np.testing.assert_array_equal(model.predict(X), np.array(classes)[outputs[:, -1].argmax(axis=1)])
    p = torch.from_numpy(outputs[:, -1]).softmax(dim=1).numpy()
    np.testing.assert_allclose(model.predict_proba(X), p[:, [2, 0, 1]], atol=tolerance)
    assert list(RNNClassifier.from_torch(rnn, linear).classes_) == [0, 1, 2]
    several = RNNClassifier.from_torch(rnn, linear, loss="sigmoid_cross_entropy")
    np.testing.assert_array_equal(several.predict(X), outputs[:, -1] > 0)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_from_torch_of_every_kind(torch, kind, num_layers, bidirectional, bias, dtype):
    """Of layers that torch has drawn, in one module or in a list."""
    torch.manual_seed(0)
    D_out = 2 if bidirectional else 1
    how = {"batch_first": True, "bias": bias, "bidirectional": bidirectional}
    rnn = getattr(torch.nn, kind)(D, 7, num_layers, **how).to(getattr(torch, dtype))
    more = getattr(torch.nn, kind)(D_out * 7, 4, **how).to(getattr(torch, dtype))
    X = np.random.default_rng(0).normal(size=(5, 6, D)).astype(dtype)
    for rnns in (rnn, [rnn, more]):
        x = torch.from_numpy(X)
        for one in rnns if isinstance(rnns, list) else [rnns]:
            x, _ = one(x)
        linear = torch.nn.Linear(x.shape[2], 3).to(x.dtype)
        model = RNNRegressor.from_torch(rnns, linear, every_step=True)
        assert np.sum(model.hidden_size) == 7 * num_layers + 4 * isinstance(rnns, list)
        np.testing.assert_allclose(model.predict(X), linear(x).detach().numpy(), rtol=0, atol=TOLERANCES[dtype])
        module = model.to_torch()  # in which there are no two biases, where their sum is enough
        np.testing.assert_allclose(module(torch.from_numpy(X)).detach(), model.predict(X), atol=TOLERANCES[dtype])


def test_from_torch_with_a_single_output(torch):
    torch.manual_seed(0)
    rnn, linear = torch.nn.RNN(D, 7, batch_first=True), torch.nn.Linear(7, 1)
    X = np.random.default_rng(0).normal(size=(20, 6, D)).astype(np.float32)
    with torch.no_grad():
        logits = linear(rnn(torch.from_numpy(X))[0][:, -1])[:, 0]
    np.testing.assert_allclose(RNNRegressor.from_torch(rnn, linear).predict(X), logits, atol=1e-5)
    model = RNNClassifier.from_torch(rnn, linear, classes=["no", "yes"])
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], logits.sigmoid(), atol=1e-5)
    np.testing.assert_array_equal(model.predict(X) == "yes", logits > 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_there_and_back(torch, activation, kind, form):
    """Scaling of inputs and targets has become a part of the weights."""
    model, X = fitted(kind, form, activation, frame=(2, 1), scale=0.5, s_0="learn", dtype="float64")
    module = model.to_torch()
    settings = {"frame": (2, 1), "s_0": model.s_0_, "readout": model.readout, "every_step": form == "each"}
    if kind == "several labels":
        settings["loss"] = model.loss
    again = type(model).from_torch(module.rnn, module.linear, **settings)
    for one, other in zip(again.predict(X), model.predict(X), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("estimator", [RNNClassifier, RNNRegressor])
def test_what_comes_from_torch_is_saved_and_loaded(torch, tmp_path, estimator, bidirectional):
    torch.manual_seed(0)
    rnn = torch.nn.RNN(D, 6, bidirectional=bidirectional)
    model = estimator.from_torch(rnn, torch.nn.Linear(6 * (1 + bidirectional), 3), readout="mean")
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    X = np.random.default_rng(0).normal(size=(4, 5, D))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.status_ is None and again.history_ == [] and again.get_params() == model.get_params()
    assert torch.equal(again.to_torch()(torch.from_numpy(X)), model.to_torch()(torch.from_numpy(X)))


@pytest.mark.parametrize("cell", GATED)
def test_modules_of_loops_and_lists_are_saved_and_loaded(torch, tmp_path, cell):
    model, X = fitted("classes", "mean", cell=cell, hidden_size=(6, 4), s_0="learn")
    module, x = model.to_torch(), torch.from_numpy(X[0][None])
    torch.save(module, tmp_path / "module.pt")
    assert torch.equal(torch.load(tmp_path / "module.pt", weights_only=False)(x), module(x))
    assert cell in repr(module) or cell.upper() in repr(module)
    other = fitted("classes", "mean", cell=cell, hidden_size=(6, 4), s_0="learn", seed=1)[0].to_torch()
    assert not torch.equal(other(x), module(x))
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), module(x))


def test_layers_from_torch_are_trained_on(torch):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6, D))
    y = np.where(X[:, -1, 0] > 0, "up", "down")
    model = RNNClassifier.from_torch(torch.nn.GRU(D, 8, 2), torch.nn.Linear(8, 2), classes=["up", "down"])
    before = model.score(X, y)
    for _ in range(5):
        model.partial_fit(X, y)
    assert model.score(X, y) > max(before, 0.9)


def test_what_comes_from_torch_is_an_estimator(torch):
    """It can be copied, saved, asked, and trained further."""
    import pickle

    from sklearn.base import clone

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6, D))
    y = np.where(X[:, -1, 0] > 0, "up", "down")
    rnn, linear = torch.nn.RNN(D, 8), torch.nn.Linear(8, 2)
    model = RNNClassifier.from_torch(rnn, linear, classes=["up", "down"], random_state=0, penalty=0.1)
    assert model.get_params()["hidden_size"] == 8 and model.penalty == 0.1 and model.n_features_in_ == D
    assert model.history_ == [] and model.n_iter_ == 0
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    np.testing.assert_allclose(model.stream().read(X[0])[-1], model.predict_proba(X[:1])[0], atol=1e-6)
    before = model.score(X, y)
    for _ in range(5):
        model.partial_fit(X, y)
    assert model.score(X, y) > max(before, 0.9) and len(model.history_) == 5
    assert clone(model).fit(X, y).score(X, y) > 0.9


@pytest.mark.filterwarnings("ignore:dropout option:UserWarning")
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
def test_from_torch_refuses_what_cannot_be(torch):
    nn = torch.nn
    rnn, linear = nn.RNN(D, 4), nn.Linear(4, 3)
    wrong = [
        ((nn.RNNCell(D, 4), linear), TypeError, "rnn is of type RNNCell"),
        ((nn.Conv1d(D, 4, 1), linear), TypeError, "rnn is of type Conv1d"),
        (("rnn", linear), TypeError, "rnn is of type str"),
        (([], linear), ValueError, "rnn is an empty list"),
        (([rnn, nn.ReLU()], linear), TypeError, r"rnn\[1\] is of type ReLU"),
        (([rnn, nn.RNN(5, 4)], linear), ValueError, r"rnn\[1\] reads 5 features, and the layer below has 4"),
        (([rnn, nn.GRU(4, 4)], linear), ValueError, r"rnn\[1\] has the cell 'gru', and rnn\[0\] has 'elman'"),
        (([rnn, nn.RNN(4, 4, nonlinearity="relu")], linear), ValueError, "nonlinearity 'relu'"),
        (([rnn, nn.RNN(4, 2, bidirectional=True)], linear), ValueError, r"rnn\[1\] has the number of directions 2"),
        (([rnn, nn.RNN(4, 4).double()], linear), ValueError, r"rnn\[1\].weight_ih_l0 is float64"),
        ((nn.LSTM(D, 6, proj_size=4), linear), ValueError, "rnn has proj_size=4"),
        ((nn.GRU(D, 4, num_layers=2, bidirectional=True), linear), ValueError, "4 features, and rnn has 8"),
        ((rnn, nn.ReLU()), TypeError, "ReLU"),
        ((rnn, nn.Linear(5, 3)), ValueError, "5 features"),
        ((rnn, nn.Linear(4, 0)), ValueError, "linear has no outputs"),
        ((rnn, nn.Linear(4, 3).double()), ValueError, "linear.weight is float64"),
        ((nn.RNN(D, 4).half(), nn.Linear(4, 3).half()), ValueError, "float16"),
    ]
    for layers, error, message in wrong:
        for estimator in (RNNClassifier, RNNRegressor):
            with pytest.raises(error, match=message):
                estimator.from_torch(*layers)
    bad = nn.Linear(4, 3)
    bad.bias.data[1] = torch.nan
    with pytest.raises(ValueError, match="linear.bias contains NaN"):
        RNNRegressor.from_torch(rnn, bad)
    for settings, error, message in [
        ({"classes": ["a", "b"]}, ValueError, "2 label"),
        ({"classes": ["a", "b", "a"]}, ValueError, "twice"),
        ({"classes": ["a", None, "b"]}, ValueError, "first at index 1 of classes"),
        ({"classes": [0.0, 1.0, np.nan]}, ValueError, "first at index 2 of classes"),
        ({"hidden_size": 5}, TypeError, "hidden_size"),
        ({"frame": 3}, ValueError, "frame length 3"),
        ({"readout": "mean", "every_step": True}, ValueError, "readout"),
        ({"every_step": 1}, TypeError, "every_step"),
        ({"s_0": np.ones(3)}, ValueError, "s_0"),
        ({"loss": "sigmoid_cross_entropy", "classes": [1, 2, 3]}, ValueError, "classes"),
        ({"colour": "red"}, TypeError, "colour"),
    ]:
        with pytest.raises(error, match=message):
            RNNClassifier.from_torch(rnn, linear, **settings)
    assert RNNClassifier.from_torch(nn.RNN(D, 4, dropout=0.5), linear).hidden_size == 4  # without effect on one layer
    assert RNNClassifier.from_torch(nn.RNN(D, 4, 2, dropout=0.5), linear).hidden_size == (4, 4)  # as in eval()


# ONNX


@pytest.mark.parametrize(
    "classes",
    [
        np.array(["no", "yes", "é"]),
        np.array(["no", "yes", "é"], dtype=object),
        np.array([-3, 2, 1 << 40]),
        np.array([3, 5, 200], dtype=np.uint8),
        np.array([-3, 2, 7], dtype=object),
        np.array([0.5, 1.5, 2.5]),
        np.array([False, True]),
    ],
    ids=lambda classes: classes.dtype.name,
)
def test_labels_of_every_type(onnxruntime, tmp_path, classes):
    model, X = fitted("classes", "last", n_classes=len(classes))
    model.classes_ = classes
    found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", *padded(X, "float32"))
    assert found.label.tolist() == model.predict(X).tolist()


@pytest.mark.parametrize(
    "classes",
    [
        np.array(["2020-01-01", "2021-01-01", "2022-01-01"], dtype="datetime64[D]"),
        np.array([1, 2, 1 << 63], dtype=np.uint64),
        np.array([-1, 2, (1 << 63) + 1], dtype=object),
        np.array([1, 2, 10**30], dtype=object),
    ],
    ids=lambda classes: f"{classes[-1]}",
)
def test_labels_without_a_type_are_refused(onnxruntime, tmp_path, classes):
    model, _ = fitted("classes", "last")
    model.classes_ = classes
    with pytest.raises(ValueError, match="classes_ has .*whose type labels cannot have in an ONNX file"):
        model.to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_leaves_the_old_one(onnxruntime, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        fitted("classes", "last")[0].to_onnx(path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_hinge_has_no_probabilities(onnxruntime, tmp_path):
    model, X = fitted("classes", "last", loss="hinge")
    found = run_onnx(onnxruntime, model, tmp_path / "model.onnx", *padded(X, "float32"))
    assert set(vars(found)) == {"label", "outputs"}
    np.testing.assert_array_equal(found.label, model.predict(X))


def test_file_is_what_is_returned_and_sizes_are_open(onnxruntime, tmp_path):
    import onnx

    model, _ = fitted("classes", "each")
    returned = model.to_onnx(str(tmp_path / "model.onnx"))
    assert onnx.load(tmp_path / "model.onnx") == returned
    (X, lengths), outputs = returned.graph.input, returned.graph.output
    assert [axis.dim_param for axis in X.type.tensor_type.shape.dim][:2] == ["n_sequences", "n_steps"]
    assert X.type.tensor_type.shape.dim[2].dim_value == D and lengths.name == "lengths"
    assert [output.name for output in outputs] == ["label", "probabilities", "outputs"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for B, N in ((1, 1), (3, 20)):
        x = np.zeros((B, N, D), np.float32)
        assert session.run(["outputs"], {"X": x, "lengths": np.full(B, N)})[0].shape == (B, N, 3)


@pytest.mark.parametrize("folder", ["", "none/"])
def test_files_that_cannot_be_are_refused(onnxruntime, tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    model, _ = fitted("classes", "last")
    with pytest.raises(OSError, match="the folder of path does not exist" if folder else "path is empty"):
        model.to_onnx(folder and folder + "model.onnx")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_units_that_a_file_or_module_does_not_have_are_refused(torch, onnxruntime, tmp_path, dtype):
    X = np.random.default_rng(0).normal(size=(30, 4, 1))
    model = RNNRegressor(4, dtype=dtype, max_epochs=1, random_state=0).fit(X, 1e60 * X.sum(axis=(1, 2)))
    with pytest.raises(ValueError, match="V, with which .* too large for float32"):
        model.to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    if dtype == "float64":
        x = torch.from_numpy(X)
        np.testing.assert_allclose(model.to_torch()(x).detach().numpy()[:, 0], model.predict(X), rtol=1e-9)
    else:
        with pytest.raises(ValueError, match="V, with which"):
            model.to_torch()


# without the packages


@pytest.mark.parametrize("package", ["torch", "onnx"])
def test_missing_packages_say_how_to_install_them(monkeypatch, tmp_path, package):
    model, _ = fitted("classes", "last")
    monkeypatch.setitem(sys.modules, package, None)
    calls = {
        "torch": [model.to_torch, lambda: RNNClassifier.from_torch(None, None)],
        "onnx": [lambda: model.to_onnx(tmp_path / "model.onnx")],
    }
    for call in calls[package]:
        with pytest.raises(ImportError, match=rf"pip install 'admmirnn\[{package}\]'"):
            call()
    assert not list(tmp_path.iterdir())


def test_exports_need_a_fitted_estimator(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        RNNClassifier().to_torch()
    with pytest.raises(NotFittedError):
        RNNRegressor().to_onnx(tmp_path / "model.onnx")
    model, _ = fitted("classes", "last")
    with pytest.raises(TypeError, match="lengths"):
        model.to_onnx(tmp_path / "model.onnx", lengths=3)


@pytest.mark.parametrize("cell", ["lstm", "fastgrnn", "ugrnn"])
@pytest.mark.parametrize("each", [False, True])
def test_onnx_with_weights_of_8_bits(onnxruntime, tmp_path, waves, cell, each):
    X, y = waves
    y = [np.repeat(label, len(x)) for x, label in zip(X, y, strict=True)] if each else y
    model = RNNClassifier((80, 64), cell=cell, max_epochs=3, random_state=0).fit(X, y)
    model.to_onnx(tmp_path / "float32.onnx")
    model.to_onnx(tmp_path / "int8.onnx", dtype="int8")
    assert (tmp_path / "int8.onnx").stat().st_size < 0.6 * (tmp_path / "float32.onnx").stat().st_size
    batch, lengths = padded(X, np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx", providers=["CPUExecutionProvider"])
    outputs = session.run(["outputs"], {"X": batch, "lengths": lengths.astype(np.int64)})[0]
    expected = expected_of(model, X)
    largest = max(np.abs(rows).max() for rows in expected)
    for own, rows in zip(outputs, expected, strict=True):
        own = own[: len(rows)] if each else own
        assert np.abs(own - rows).max() < 0.1 * largest


@pytest.mark.parametrize("cell", ["elman", "gru"])
def test_what_onnxruntime_cannot_quantise_is_refused(onnxruntime, tmp_path, cell):
    model, _ = fitted("classes", "last", cell=cell)
    with pytest.raises(ValueError, match=f"dtype is 'int8' and the cell is '{cell}'"):
        model.to_onnx(tmp_path / "model.onnx", dtype="int8")
    with pytest.raises(ValueError, match="dtype is 'int4'"):
        model.to_onnx(tmp_path / "model.onnx", dtype="int4")
    assert not list(tmp_path.iterdir())
