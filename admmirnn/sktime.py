"""A forecaster for sktime: ``pip install 'admmirnn[sktime]'``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from admmirnn._typing import RandomState
from admmirnn.estimators import RNNRegressor
from admmirnn.forecasting import Difference, Forecaster
from admmirnn.optional import import_optional

import_optional("sktime", "sktime", "admmirnn.sktime")
import pandas as pd  # noqa: E402  # which sktime brings
from sktime.forecasting.base import BaseForecaster  # noqa: E402

__all__ = ["RNNForecaster"]


class RNNForecaster(BaseForecaster):
    """`admmirnn.forecasting.Forecaster` with the interface of sktime.

    Exogenous data are the inputs that are known in advance; quantiles and intervals are those of the forecaster, and
    ``update`` trains on.  It declares that it does not forecast within the training data, and takes no missing values.

    Parameters
    ----------
    regressor, n_networks, horizon, transformers, window, stride, burn_in, calibration, refit, conformal, noise, \
random_state
        As in `Forecaster`, whose setting ``quantiles`` this interface does not have.
    n_paths : int, default=300
        Number of paths that are simulated to estimate quantiles.

    Attributes
    ----------
    forecaster_ : Forecaster
        Fitted forecaster.

    Examples
    --------
    >>> from sktime.datasets import load_airline  # doctest: +SKIP
    >>> from admmirnn.forecasting import Difference, Log
    >>> from admmirnn.sktime import RNNForecaster  # doctest: +SKIP
    >>> forecaster = RNNForecaster(transformers=(Log(), Difference(12)), random_state=0)  # doctest: +SKIP
    >>> forecaster.fit(load_airline()).predict(fh=[1, 2, 3])  # doctest: +SKIP
    """

    _tags = {
        "authors": ["admmirnn"],
        "python_dependencies": ["admmirnn"],
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:missing_values": False,
        "capability:random_state": True,
        "capability:update": True,
        "capability:categorical_in_X": False,
        "y_inner_mtype": "pd.DataFrame",
        "X_inner_mtype": "pd.DataFrame",
        "requires-fh-in-fit": False,
    }

    def __init__(
        self,
        regressor: RNNRegressor | None = None,
        n_networks: int = 1,
        horizon: int | None = None,
        transformers: Sequence[Any] = (),
        window: int = 100,
        stride: int = 10,
        burn_in: int = 20,
        calibration: int = 0,
        refit: bool = True,
        conformal: bool = False,
        noise: float = 0.0,
        n_paths: int = 300,
        random_state: RandomState = None,
    ) -> None:
        self.regressor = regressor
        self.n_networks = n_networks
        self.horizon = horizon
        self.transformers = transformers
        self.window = window
        self.stride = stride
        self.burn_in = burn_in
        self.calibration = calibration
        self.refit = refit
        self.conformal = conformal
        self.noise = noise
        self.n_paths = n_paths
        self.random_state = random_state
        super().__init__()

    def _fit(self, y: Any, X: Any, fh: Any) -> RNNForecaster:
        settings = {name: getattr(self, name) for name in self.get_param_names() if name != "n_paths"}
        self.forecaster_: Forecaster = Forecaster(**settings).fit(y.to_numpy(float), _values(X))
        self._seen = y, X
        return self

    def _update(self, y: Any, X: Any = None, update_params: bool = True) -> RNNForecaster:
        seen, of_inputs = self._seen
        self._seen = y.combine_first(seen), None if X is None else X.combine_first(of_inputs)
        if update_params:
            self.forecaster_.update(self._seen[0].to_numpy(float), _values(self._seen[1]))
        return self

    def _predict(self, fh: Any, X: Any) -> Any:
        steps, found = self._found(fh, X, None)
        index = fh.to_absolute_index(self.cutoff)
        return pd.DataFrame(found[steps - 1], index=index, columns=self._seen[0].columns)

    def _predict_quantiles(self, fh: Any, X: Any, alpha: list[float]) -> Any:
        levels, places = np.unique(alpha, return_inverse=True)
        steps, found = self._found(fh, X, levels)
        names = self._get_varnames()
        columns = pd.MultiIndex.from_product([names, alpha])
        values = found[steps - 1][:, :, places].reshape(len(steps), -1)
        return pd.DataFrame(values, index=fh.to_absolute_index(self.cutoff), columns=columns)

    def _found(self, fh: Any, X: Any, quantiles: Any) -> tuple[Any, Any]:
        """Numbers of the steps that are asked for, and the forecast of all up to the last one, (horizon, k)."""
        steps = fh.to_relative(self.cutoff).to_numpy().astype(int)
        horizon = int(steps.max())
        (series, inputs), future = map(_values, self._seen), None
        if inputs is not None:
            later = fh.__class__(np.arange(1, horizon + 1), is_relative=True).to_absolute_index(self.cutoff)
            future = X.reindex(later).ffill().bfill().to_numpy(float)
        found = self.forecaster_.forecast(
            horizon,
            future,
            series=series,
            inputs=inputs,
            quantiles=quantiles,
            n_paths=self.n_paths,
        )
        return steps, found

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return settings of small forecasters, for sktime's tests."""
        small = RNNRegressor(4, max_epochs=2)
        common = {"window": 12, "stride": 3, "burn_in": 2, "n_paths": 20, "random_state": 0}
        return [
            {"regressor": small, **common},
            {"regressor": small, "transformers": (Difference(1),), "noise": 0.1, "n_networks": 2, **common},
        ]


def _values(X: Any) -> Any:
    return None if X is None else X.to_numpy(float)
