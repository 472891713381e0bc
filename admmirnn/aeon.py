"""A classifier for aeon: ``pip install 'admmirnn[aeon]'``."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from admmirnn._typing import RandomState
from admmirnn.estimators import RNNClassifier
from admmirnn.optional import import_optional
from admmirnn.tables import sequences_from_channels_first

import_optional("aeon", "aeon", "admmirnn.aeon")
from aeon.classification.base import BaseClassifier  # noqa: E402

__all__ = ["RecurrentClassifier"]


class RecurrentClassifier(BaseClassifier):
    """`admmirnn.RNNClassifier` with the interface of aeon, whose collections are (cases, channels, steps).

    Cases may have several channels, and unequal lengths.  It declares that it does not take missing values.

    Parameters
    ----------
    classifier : RNNClassifier, optional
        Network to train, which is cloned.  By default ``RNNClassifier(hidden_size=64, cell="fastgrnn",
        readout="max")``.
    random_state : int, RandomState or None, default=None
        Seed for the network, unless ``classifier`` has its own.

    Attributes
    ----------
    classifier_ : RNNClassifier
        Fitted copy of ``classifier``.

    Examples
    --------
    >>> from aeon.datasets import load_japanese_vowels  # doctest: +SKIP
    >>> from admmirnn.aeon import RecurrentClassifier  # doctest: +SKIP
    >>> X, y = load_japanese_vowels(split="train")  # doctest: +SKIP
    >>> RecurrentClassifier(random_state=0).fit(X, y)  # doctest: +SKIP
    """

    _tags = {
        "X_inner_type": ["np-list", "numpy3D"],
        "algorithm_type": "deeplearning",
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:missing_values": False,
    }

    def __init__(self, classifier: RNNClassifier | None = None, random_state: RandomState = None) -> None:
        self.classifier = classifier
        self.random_state = random_state
        super().__init__()

    def _fit(self, X: Any, y: Any) -> RecurrentClassifier:
        if self.classifier is None:
            classifier = RNNClassifier(64, cell="fastgrnn", readout="max")
        else:
            classifier = clone(self.classifier)
        if classifier.random_state is None:
            classifier.set_params(random_state=self.random_state)
        self.classifier_: RNNClassifier = classifier.fit(sequences_from_channels_first(X), y)
        return self

    def _predict(self, X: Any) -> Any:
        return self.classifier_.predict(sequences_from_channels_first(X))

    def _predict_proba(self, X: Any) -> Any:
        return self.classifier_.predict_proba(sequences_from_channels_first(X))

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        """Return settings of a small classifier, for aeon's tests."""
        return {"classifier": RNNClassifier(4, max_epochs=2)}
