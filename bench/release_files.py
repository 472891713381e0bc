"""Small model files of this release, for tests/data: ``python -m bench.release_files``.

Run it once a release, before it is out, and commit what it writes.  tests/test_io.py asks for these files when the
version in pyproject.toml goes up, loads them ever after, and compares the outputs with those that are written here.  A
file that is there stays: that of a release that is out shows what it wrote.
"""

from pathlib import Path

import numpy as np

import admmirnn
from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, Rollout
from admmirnn.losses import Huber
from admmirnn.penalties import Lasso

FOLDER = Path(__file__).parent.parent / "tests" / "data"


def models():
    """Name, model, what it is to predict from."""
    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((40, 6, 2))
    labels = np.array(["down", "up"])[(X[:, -1, 0] > 0).astype(int)]
    settings = {"solver": Rollout(radius=0.02), "penalties": {"W": Lasso(1e-4)}, "class_weight": {"up": 2.0}}
    yield "classifier", RNNClassifier(6, max_epochs=5, random_state=0, **settings).fit(X, labels), X[:5]
    settings = {"s_0": "learn", "dtype": "float64", "loss": Huber(1.5), "random_state": np.random.RandomState(1)}
    yield "regressor", RNNRegressor(6, max_epochs=5, **settings).fit(X, X.cumsum(axis=1)), X[:5]
    settings = {"bidirectional": True, "readout": "mean", "early_stopping": True, "random_state": 0, "scale": 0.5}
    yield "bidirectional", RNNRegressor(4, max_epochs=5, **settings).fit(X, X[:, 0, 0] + X[:, -1, 1]), X[:5]
    text = "to be or not to be, that is the question: "
    yield "text", CharacterModel(6, max_epochs=5, random_state=0).fit(10 * text), text


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, model, X in models():
        path = FOLDER / f"{name}-{admmirnn.__version__}.safetensors"
        if path.exists():
            print(path, "is there; delete it to write it anew, unless that release is out")
            continue
        model.save(path)
        outputs = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
        labels = {"labels": model.predict(X)} if hasattr(model, "classes_") else {}
        np.savez_compressed(path.with_suffix(".npz"), X=X, outputs=outputs, **labels)
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
