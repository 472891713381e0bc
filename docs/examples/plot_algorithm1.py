"""
The residuals of Algorithm 1
============================

The paper's own algorithm keeps a_t, s_t and o_t as variables, which obey the network's
equations only approximately. ``history_`` records how far they are from obeying them.
It also has two losses: one at the variables, which are pulled towards the labels, and
the loss of the network itself.
"""

import numpy as np
from matplotlib import pyplot

from admmirnn import Algorithm1, RNNClassifier, plotting

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 6, 2))
y = np.where(X[:, -2:, 0].sum(axis=1) > 0, "up", "down")

solver = Algorithm1(rho1=2, rho2=2, rho3=2, nu=1, r="lipschitz", s_coupling=True)
model = RNNClassifier(hidden_size=8, solver=solver, max_epochs=300, random_state=0).fit(
    X, y
)
print(model.status_.value)

# %%
# On the left are the residuals of the equations; on the right are the two losses.

figure, (residuals, losses) = pyplot.subplots(
    1, 2, figsize=(11, 4.5), layout="constrained"
)
plotting.plot_residuals(model, ax=residuals)
plotting.plot_history(model, ["auxiliary_loss", "rollout_loss"], ax=losses)
losses.set(ylabel="loss", xlabel="iteration")
