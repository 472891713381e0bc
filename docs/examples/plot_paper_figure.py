"""
Repeated runs of every method
=============================

Figure 4 of the paper: the mean test loss of repeated trainings on MNIST, and their
standard deviation, against iterations. The curves are those of
``docs/paper-figures.json``, which ``python -m bench.paper figures`` writes; all of them
are losses of the network's own roll-out on images that it was not trained on. The
record also has ``auxiliary_test_loss`` of Algorithm 1 and Rollout, which is what the
paper drew instead.
"""

import inspect
import json
from pathlib import Path

import numpy as np
from matplotlib import pyplot

# programs of the gallery have no __file__
this_file = Path(inspect.currentframe().f_code.co_filename)
record = json.loads((this_file.parents[1] / "paper-figures.json").read_text())
figure_4 = record["figures"]["4"]
iterations = figure_4["iterations"]

colours = {
    "Algorithm 1": "#0072B2",
    "Rollout": "#D55E00",
    "SGD": "#000000",
    "RMSprop": "#56B4E9",
    "Adam": "#009E73",
}
dashes = {"SGD": "--", "RMSprop": "-.", "Adam": (0, (4, 1.5))}

# %%
# The lower the curve on the left, the better; the lower the curve on the right, the
# less does a run depend on its seed.

figure, (means, deviations) = pyplot.subplots(
    1, 2, figsize=(11, 4.5), layout="constrained", sharex=True
)
for name, series in figure_4["series"].items():
    look = {
        "color": colours[name],
        "ls": dashes.get(name, "-"),
        "lw": 1.5 if name in dashes else 2.5,
    }
    mean, sd = (
        np.array(series["rollout_test_loss"][what], float) for what in ("mean", "sd")
    )
    means.plot(iterations, mean, label=name, **look)
    deviations.plot(iterations, sd, label=name, **look)
    print(
        f"{name:12} test loss after {iterations[-1]} iterations: "
        f"mean {mean[-1]:.4f}, deviation {sd[-1]:.4f}"
    )
means.set(
    xscale="log", yscale="log", xlabel="iteration", ylabel="test loss, mean over runs"
)
deviations.set(yscale="log", xlabel="iteration", ylabel="test loss, standard deviation")
means.legend()
