"""
Japanese Vowels: who is speaking?
=================================

Nine speakers say two vowels. Each recording has 7 to 29 steps, with 12 coefficients of
the spectrum per step. The sequences have unequal lengths, and nothing is padded.

The two files, ``JapaneseVowels_TRAIN.ts`` and ``JapaneseVowels_TEST.ts`` of
https://www.timeseriesclassification.com, are read from the folder ``japanese_vowels``
in the folder that ``ADMMIRNN_DATA`` names. Where that variable is not set, the program
says so and draws nothing.
"""

import os

from matplotlib import pyplot

from admmirnn import RNNClassifier, plotting
from admmirnn.datasets import load_japanese_vowels

has_data = "ADMMIRNN_DATA" in os.environ
if has_data:
    X_train, y_train = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
    lengths = [len(x) for x in X_train]
    print(
        f"{len(X_train)} training utterances of {min(lengths)} to {max(lengths)} steps"
    )
    model = RNNClassifier(random_state=0).fit(X_train, y_train)
    print(f"held-out accuracy: {model.score(X_test, y_test):.3f}")
else:
    print("This page was made without the data: ADMMIRNN_DATA is not set.")

# %%
# The matrix shows which speakers are taken for which.

if has_data:
    figure, ax = pyplot.subplots(figsize=(5, 5), layout="constrained")
    plotting.plot_confusion_matrix(model, X_test, y_test, ax=ax, colorbar=False)

# %%
# The next picture shows how sure the network becomes on the way through one recording:
# its states, and below them the probabilities of the speakers.

if has_data:
    plotting.plot_states(model, X_test[0])
