"""Where the network was: streams that have been pickled name it so."""

from admmirnn.networks import ElmanRNN

__all__ = ["ElmanRNN"]
