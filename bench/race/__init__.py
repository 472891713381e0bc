"""Races: seconds of training to a given roll-out accuracy on the test set, against torch.optim on torch.nn.RNN.

``python -m bench.race <task>``; a task is a small file in ``tasks/``.

The network is the same on both sides - an Elman network with tanh, as many hidden units, the same initial weights (W
orthogonal), float32 - and so are the data, their order for each seed, the number of threads and the iterations after
which the test set is looked at.  The clock runs while a contender trains and stands while it is evaluated; data are
converted, and everything is run once to warm up, before it starts.

torch's side has every advantage there was to give: each optimiser is fused or foreach, whichever is faster, the
batches are batch-first, unequal lengths are padded to the longest of the batch and the last real step is gathered
(5 to 10 % faster than packing), the learning rate follows a cosine to 0 without a scheduler object's overhead.  Each
optimiser has five learning rates and several budgets of epochs, and **picks the best of them by the test curve**, for
each goal anew.  Our side has the solver's defaults, and for each goal one budget that the task states.

*Time to a goal*: evaluations are at the same iterations for every seed.  The accuracy at an evaluation is the mean
over seeds, the time its median; the goal is reached at the first evaluation whose mean accuracy is at least the goal's.
Between two evaluations the iterations grow by at most 8 %, and nothing is interpolated.  Beside it stands the time of
each seed on its own (median and range).

*Goals* are accuracies, or "best": the highest mean accuracy over seeds that any optimiser, learning rate and budget
has at any evaluation.  With accuracies as goals, settings are chosen on the first seed, where those that are hopeless
or already beaten are dropped; for "best" all of them are run on all seeds.

*Other peers* (`bench.race.others`) are models of another kind; they are shown and do not count.  jax-sysid 1.1 trains
Elman networks too, but does not fit: `Model.fit` traces one scan for each sequence (60 of the 270 Japanese Vowels took
33 s to compile on an AMD EPYC), each step of the optimiser takes all sequences one by one in float64, and it offers no
minibatches and no look at the weights on the way.
"""
