"""The optimisers that race: five of torch.optim, and four of pytorch_optimizer that keep matrices for matrices.

Those that only matrices are for, or that do other things to vectors, are told which parameters are which, as their
documentation asks.  Weight decay is 0 in all of them, as it is in ours but for the ridge.
"""

from functools import partial

import torch

GRADIENT = {
    "SGD": partial(torch.optim.SGD, fused=True),
    "Momentum": partial(torch.optim.SGD, momentum=0.9, fused=True),
    "AdaGrad": partial(torch.optim.Adagrad, fused=True),
    "RMSprop": partial(torch.optim.RMSprop, foreach=True),
    "Adam": partial(torch.optim.Adam, fused=True),
}
OF_ADAMW = 0.1  # part of Muon's learning rate, for all that is no hidden matrix


def _soap(parameters, hidden, lr):
    from pytorch_optimizer import SOAP

    return SOAP(parameters, lr=lr, weight_decay=0.0, precondition_frequency=10)


def _muon(parameters, hidden, lr):
    from pytorch_optimizer import Muon

    of_hidden = {id(parameter) for parameter in hidden}
    others = [parameter for parameter in parameters if id(parameter) not in of_hidden]
    return Muon([
        {"params": list(hidden), "lr": lr, "use_muon": True},
        {"params": others, "lr": OF_ADAMW * lr, "use_muon": False},
    ])  # fmt: skip


def _kron(parameters, hidden, lr):
    from pytorch_optimizer import Kron

    return Kron(parameters, lr=lr)


def _shampoo(parameters, hidden, lr):
    from pytorch_optimizer import ScalableShampoo

    return ScalableShampoo(parameters, lr=lr, start_preconditioning_step=10, preconditioning_compute_steps=10)


OF_MATRICES = {"SOAP": _soap, "Muon": _muon, "PSGD-Kron": _kron, "Shampoo": _shampoo}
NAMES = (*GRADIENT, *OF_MATRICES)


def optimiser(name, parameters, hidden, lr):
    """The optimiser of that name.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    parameters : list of Parameter
        All of the network.
    hidden : list of Parameter
        Those among them that are matrices of the recurrent layer.
    lr : float
        The learning rate at the start.
    """
    if name in GRADIENT:
        return GRADIENT[name](parameters, lr=lr)
    return OF_MATRICES[name](parameters, hidden, lr)
