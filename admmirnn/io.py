"""Models in files: ``estimator.save(path)`` and `load`; see `admmirnn.files.format` for what such a file is."""

from admmirnn.files.format import ModelFileError
from admmirnn.files.models import load

__all__ = ["ModelFileError", "load"]
