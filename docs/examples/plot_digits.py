"""
Digits, row by row
==================

The images of scikit-learn's digits are read as sequences of 8 rows of 8 pixels: the
network reads a digit from top to bottom, and names it after the last row.
"""

import numpy as np
from matplotlib import pyplot
from sklearn.model_selection import train_test_split

from admmirnn import RNNClassifier, plotting
from admmirnn.datasets import load_digits

X, y = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.2, stratify=y, random_state=0
)
print(f"{len(X_train)} training digits of shape {X[0].shape}; {len(X_test)} held out")

model = RNNClassifier(random_state=0).fit(
    X_train, y_train, validation_data=(X_test, y_test)
)
print("held-out accuracy", model.score(X_test, y_test))

# %%
# The held-out digits do not take part in training here; they are measured after every
# epoch.

figure, (curves, matrix) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
plotting.plot_history(model, "accuracy", ax=curves)
plotting.plot_confusion_matrix(model, X_test, y_test, ax=matrix, colorbar=False)

# %%
# The last picture shows one digit while the network reads it: the states after each
# row, and below them the probabilities of the ten digits.

probabilities = model.predict_proba(X_test)
hardest = int(np.argmin(probabilities.max(axis=1)))
print("the digit it is least sure of is a", y_test[hardest])
heat_map, output = plotting.plot_states(model, X_test[hardest])
