"""Typed Cython kernels of admmirnn: private, and called through ``admmirnn.backend`` only.

**Layout.** Sequences of a minibatch are sorted by decreasing length and *end* together, so the sequences that are
running at a step are always the first ones.  One array holds the rows of all steps, step after step:

* ``X``: block ``t`` is ``X[offsets[t]:offsets[t + 1]]`` and holds [x_t, 1], one row a sequence;
* ``S``: block ``t`` stands in the same rows and holds s_{t-1}; the state that sequence ``i`` reaches at step ``t`` is
  row ``i`` of block ``t + 1``, and block ``N`` has a row for every sequence, its last state.

Where a layer reads the states of another one, what its step t reads is the state that the other's step t has reached,
and its X, its multipliers and those that it hands down stand in the same rows.

Where observations are symbols, of which one is 1 and the others 0, ``codes`` (int32) stands in the place of ``X``.
A sequence of length L takes L rows: there is no padding, and observations and states are never put side by side; sums
over z_t = [x_t, s_{t-1}, 1] are taken by blocks.  Algorithm 1, which changes the states, keeps them in rows
``Z`` = [x_t, s_{t-1}, 1] of the same order.

**Steps.** `forward` rolls out, reads the outputs and takes the o-step; `backward` finds the multipliers and leaves sums
over the minibatch, which may be added up over workers; `fold` and `fold_outputs` take them into the running statistics
of each layer; `weight_step` finds where a layer should go, and `move_weights` goes there.

**Conventions.** All arrays are C-contiguous, float32 or float64 (``floating``); inputs come first and are
``const``, then numbers, then what is written.  Shapes: ``B`` sequences, ``N`` steps, ``d`` features,
``n`` hidden units, ``K`` outputs, ``m = d + n + 1``.

**Speed.** BLAS multiplies large matrices by packing them first; some BLAS libraries multiply small ones as they lie,
and as fast (``_blas.rows_at_once``).  So products are cut to that size, along the sequences.
"""
