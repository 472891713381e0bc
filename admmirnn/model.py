"""Where the networks were: streams that have been pickled name them so."""

from admmirnn.networks import BidirectionalRNN, ElmanRNN

__all__ = ["BidirectionalRNN", "ElmanRNN"]
