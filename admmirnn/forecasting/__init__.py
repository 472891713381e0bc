"""Forecasts of series: a forecaster, reversible transformers, splits in time, and backtests."""

from admmirnn.forecasting.backtesting import Backtest, OriginSplit, backtest
from admmirnn.forecasting.forecaster import Forecaster
from admmirnn.forecasting.transformers import Difference, Log

__all__ = ["Backtest", "Difference", "Forecaster", "Log", "OriginSplit", "backtest"]
