"""What the paper's experiments measure, next to what the networks predict: ``python -m bench.paper tables | text``.

tables: the losses and accuracies of Tables 2 and 3, from the o-steps alone, from the scheme that the authors released,
and from Algorithm 1 on MNIST by rows, there together with the roll-out.
text: the authors' character experiment as they released it, with the derived signs, and with parameters that let it
learn.

Data are read from the folder that ADMMIRNN_DATA names.  Seeds count from --first-seed; everything runs on one BLAS
thread, ``tables`` on several threads of its own.
"""
