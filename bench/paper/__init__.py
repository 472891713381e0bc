"""What the paper's experiments measure, next to what the networks predict: tables, text, and Figures 2 to 6.

tables: the losses and accuracies of Tables 2 and 3, from the o-steps alone, from the scheme that the authors released,
and from Algorithm 1 on MNIST by rows, there together with the roll-out.

text: the authors' character experiment as they released it, with the derived signs, and with parameters that let it
learn.

figures (or figure-2 to figure-6, one alone): the curves of Figures 2 to 6 from Algorithm 1, from Rollout and from
torch.optim, each drawn by its auxiliary figures and by those of the roll-out, and a verdict on every claim.  The peers
train as in `bench.race`, with the best learning rate of its grids by the test curve.

Data are read from the folder that ADMMIRNN_DATA names.  Seeds count from --first-seed; everything runs on one BLAS
thread, ``tables`` on several threads of its own, figures in several processes.
"""
