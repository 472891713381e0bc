"""Benchmarks and the measurement of every claimed figure; not installed.

They measure the BLAS kernels that users get: those that OpenBLAS picks for the processor by itself.  Some environments
name others, which has to be undone before a library loads OpenBLAS.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)
