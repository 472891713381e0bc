"""Benchmarks and the measurement of every claimed figure; not installed.

They measure the BLAS kernels that users get: those that OpenBLAS picks for the processor by itself.  Some environments
name others, which has to be undone before a library loads OpenBLAS.  `bench.instructions`, whose counts are of one
kind of kernels on every machine, says that its choice is to be kept.
"""

import os

if "ADMMIRNN_KEEP_CORETYPE" not in os.environ:
    os.environ.pop("OPENBLAS_CORETYPE", None)
