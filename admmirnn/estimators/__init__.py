"""The scikit-learn estimators."""

from admmirnn.estimators.classifier import RNNClassifier
from admmirnn.estimators.regressor import RNNRegressor
from admmirnn.estimators.text import CharacterModel

__all__ = ["CharacterModel", "RNNClassifier", "RNNRegressor"]
