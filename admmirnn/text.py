"""Where `CharacterModel` was: models that have been pickled name it so."""

from admmirnn.estimators.text import CharacterModel

__all__ = ["CharacterModel"]
