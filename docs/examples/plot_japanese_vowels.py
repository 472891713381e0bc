"""
Japanese Vowels: who is speaking?
=================================

Nine speakers say two vowels, 7 to 29 steps of 12 coefficients of the spectrum. The sequences have unequal lengths, and
nothing is padded.

The two files, ``JapaneseVowels_TRAIN.ts`` and ``JapaneseVowels_TEST.ts`` of https://www.timeseriesclassification.com,
are read from the folder ``japanese_vowels`` in ``ADMMIRNN_DATA``. Where that variable is not set, nine made-up speakers
take their places: sequences of the same form, each speaker with a mean and a drift of their own.
"""

import os

import numpy as np
from matplotlib import pyplot

from admmirnn import RNNClassifier, plotting
from admmirnn.datasets import load_japanese_vowels


def made_up_speakers(n_sequences, rng):
    """Sequences of the same form as those of the files."""
    voices = np.random.default_rng(9).normal(size=(9, 2, 12))
    y = rng.integers(1, 10, n_sequences)
    X = []
    for speaker in y:
        mean, drift = voices[speaker - 1]
        time = np.linspace(0, 1, rng.integers(7, 30))[:, None]
        X.append(0.5 * (mean + drift * time) + rng.normal(size=(len(time), 12)))
    return X, y.astype(str)


if "ADMMIRNN_DATA" in os.environ:
    X_train, y_train = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
else:
    print("ADMMIRNN_DATA is not set: these are made-up speakers")
    rng = np.random.default_rng(0)
    X_train, y_train = made_up_speakers(270, rng)
    X_test, y_test = made_up_speakers(370, rng)

lengths = [len(x) for x in X_train]
print(len(X_train), "utterances of", min(lengths), "to", max(lengths), "steps to learn from")

model = RNNClassifier(random_state=0).fit(X_train, y_train)
print("held-out accuracy", model.score(X_test, y_test))

# %%
# Who is taken for whom, and how sure the network becomes on the way through an utterance.

figure, ax = pyplot.subplots(figsize=(5, 5), layout="constrained")
plotting.plot_confusion_matrix(model, X_test, y_test, ax=ax, colorbar=False)
heat_map, output = plotting.plot_states(model, X_test[0])
