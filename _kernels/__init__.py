"""Typed Cython kernels of admmirnn: private, and called through ``admmirnn.backend`` only.

**Layout.** The observations and the states of a minibatch stand in one array ``Z`` whose rows are
z_t = [x_t, s_{t-1}, 1], one row for each step of each sequence, step after step.  Sequences are sorted by
decreasing length and *end* together, so the sequences that are running at a step are always the first ones:

* block ``t`` is ``Z[offsets[t]:offsets[t + 1]]``, its row ``i`` belongs to sequence ``i``;
* the state that sequence ``i`` reaches at step ``t`` is written into row ``i`` of block ``t + 1``;
* block ``N`` has a row for every sequence and holds the last states; its observations are not used.

A sequence of length L takes L rows: there is no padding, and sums over all steps of all sequences are one
matrix product whatever the lengths are.

**Conventions.** All arrays are C-contiguous, float32 or float64 (``floating``); inputs come first and are
``const``, then numbers, then what is written.  Shapes: ``B`` sequences, ``N`` steps, ``d`` features, ``n``
hidden units, ``K`` outputs, ``m = d + n + 1``.
"""
