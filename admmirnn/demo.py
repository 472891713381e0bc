"""``python -m admmirnn demo``: train on scikit-learn's digits and say what the network predicts."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from admmirnn import RNNClassifier, backend, plotting
from admmirnn.datasets import load_digits

if TYPE_CHECKING:
    from admmirnn._typing import Array, Record


def run(
    output: str | Path = "admmirnn-demo.png", random_state: int = 0, max_epochs: int = 20
) -> dict[str, tuple[float, float]]:
    """Train, print a table of epochs and a comparison, and draw a picture where matplotlib is there.

    Parameters
    ----------
    output : path-like
        File for the picture.
    random_state : int
        Seed for the split and for both models.
    max_epochs : int
        Number of epochs of the recurrent network.

    Returns
    -------
    dict
        Held-out accuracy and training seconds by model.
    """
    X, y = load_digits()
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=random_state)
    print(
        f"scikit-learn's digits, each a sequence of 8 rows of 8 pixels: {len(y_train)} to learn, {len(y_test)} held out"
    )

    held_out = []
    model = RNNClassifier(
        max_epochs=max_epochs,
        random_state=random_state,
        verbose=1,
        callbacks=[lambda state: held_out.append(state.estimator.score(X_test, y_test))],
    ).fit(X_train, y_train)
    rnn_seconds = sum(record["seconds"] for record in model.history_)
    _print_table(model.history_, held_out)

    started = time.perf_counter()
    with backend.one_blas_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer = MLPClassifier(random_state=random_state).fit(X_train.reshape(len(X_train), -1), y_train)
    peer_seconds = time.perf_counter() - started
    peer_accuracy = peer.score(X_test.reshape(len(X_test), -1), y_test)

    print("\nsame split, one core                     held-out accuracy   seconds")
    print(f"  admmirnn.RNNClassifier, defaults             {held_out[-1]:11.4f}   {rnn_seconds:7.2f}")
    print(f"  sklearn MLPClassifier, defaults              {peer_accuracy:11.4f}   {peer_seconds:7.2f}")
    _draw(model, held_out, X_test, y_test, Path(output))
    return {"admmirnn": (held_out[-1], rnn_seconds), "MLPClassifier": (peer_accuracy, peer_seconds)}


def _print_table(history: list[Record], held_out: list[float]) -> None:
    print("\nepoch   roll-out loss   train accuracy   held-out accuracy   seconds")
    for record, accuracy in zip(history, held_out, strict=True):
        print(
            f"{record['epoch']:5}   {record['rollout_loss']:13.4f}   {record['training_accuracy']:14.4f}   "
            f"{accuracy:17.4f}   {record['seconds']:7.3f}"
        )


def _draw(model: RNNClassifier, held_out: list[float], X_test: Array, y_test: Array, path: Path) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        print("\nno picture: matplotlib is missing (pip install matplotlib)")
        return
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    curves, matrix = figure.subplots(1, 2)
    plotting.plot_history(model, "training_accuracy", ax=curves, label="train")
    curves.plot([record["epoch"] for record in model.history_], held_out, label="held out")
    curves.set(ylabel="accuracy of the roll-out", title="Digits by rows, 8 steps of 8 pixels")
    curves.legend(loc="lower right")
    plotting.plot_confusion_matrix(model, X_test, y_test, ax=matrix, colorbar=False)
    matrix.set_title(f"held out: {held_out[-1]:.3f} right")
    figure.savefig(path, dpi=120)
    print(f"\npicture: {path.resolve()}")
