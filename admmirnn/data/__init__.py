"""Sequences and targets: read, cut, held out."""
