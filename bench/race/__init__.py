"""Races: seconds of training to an accuracy of the roll-out on test data, against torch.optim on torch.nn.RNN.

The network is the same on both sides - an Elman network with tanh, of as many hidden units, W orthogonal at the start,
float32 - and so are the data, their order for each seed, and the number of threads.  The clock runs while a contender
trains and stands while it is evaluated; data are converted, and everything is run once to warm up, before it starts.

torch has every advantage there was to give: each optimiser is fused or foreach, whichever is faster; tensors are
batch-first; unequal lengths are padded to the longest of a batch and the last real step is gathered, which is faster
than packing; gradients are clipped at norm 1; the learning rate falls along a cosine to 0 without a scheduler object;
the batch size is the best of a few for the task.  Each optimiser has five learning rates and several budgets of epochs,
and picks the best of them **by the test curve**, anew for each goal.  Our side has the solver's defaults, apart from
what the task's goal says.

Time to a goal: a run is evaluated after iterations that grow by at most 5 %, the same for every seed.  The accuracy is
then the mean over seeds, the time the median, and the goal is reached at the first evaluation whose accuracy is at
least the goal's; nothing is interpolated.  Beside it stands the time of each seed on its own.

Goals are accuracies, or the peers' best: the highest accuracy, mean over seeds, that any optimiser, learning rate and
budget has at any evaluation.  With accuracies as goals, settings are chosen on the first seed, where those that are
hopeless or already beaten are given up; for the peers' best all of them are run on all seeds.

Of text both sides read the same chunks of as many streams, with the state carried on; torch is given one-hot vectors
that were made before.  The goal there is what Adam, at its best learning rate, ends with, and its time is the one that
counts; the fewer streams, the more a pass teaches, and 16 end best for Adam of 8, 16 and 32.

Other peers (`bench.race.others`) are models of another kind, which are shown and do not count.  jax-sysid 1.1 trains
Elman networks, but fits none of the tasks: `Model.fit` compiles one scan for each sequence (33 s for 60 of the 270
Japanese Vowels), every step of Adam or L-BFGS runs through all sequences one by one in float64 (75 ms for those 60),
there are no minibatches, and no way to look at the weights before the end.
"""
