"""
W under constraints
===================

Four networks learn the same task with different recurrent weights: free ones, weights
of which many are exactly zero, a matrix with a bound on its largest singular value, and
an orthogonal one.
"""

import numpy as np
from matplotlib import pyplot
from sklearn.model_selection import train_test_split

from admmirnn import RNNClassifier, plotting
from admmirnn.datasets import load_digits
from admmirnn.penalties import GroupLasso, Lasso, Orthogonal, SpectralBall

X, y = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.2, stratify=y, random_state=0
)

asked = {
    "free": None,
    "Lasso(1e-3)": {"W": Lasso(1e-3)},
    "SpectralBall(0.7)": {"W": SpectralBall(0.7)},
    "Orthogonal()": {"W": Orthogonal()},
}
figure, axes = pyplot.subplots(2, 2, figsize=(9, 9), layout="constrained")
for ax, (name, penalties) in zip(axes.flat, asked.items(), strict=True):
    model = RNNClassifier(
        hidden_size=64, penalties=penalties, max_epochs=10, random_state=0
    ).fit(X_train, y_train)
    W = model.W_
    print(
        f"{name:18} accuracy {model.score(X_test, y_test):.3f}, "
        f"zeros in W {np.mean(W == 0):4.0%}, "
        f"singular values {np.linalg.norm(W, -2):.3f} to {np.linalg.norm(W, 2):.3f}"
    )
    plotting.plot_eigenvalues(model, ax=ax, label=name)
    ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6))

# %%
# The constraints hold in every iteration, not only at the end. A group lasso on what
# comes out of a unit, in W and V together, makes whole units useless; ``prune`` leaves
# them out.

large = RNNClassifier(
    hidden_size=64, penalties={"WV": GroupLasso(5e-3)}, random_state=0
).fit(X_train, y_train)
small = large.prune()
print(
    f"{large.hidden_size} units, {small.hidden_size} needed: "
    f"held-out accuracy {small.score(X_test, y_test):.3f}"
)
assert np.allclose(small.predict_proba(X_test), large.predict_proba(X_test), atol=1e-5)
