"""One observation of one stream, or of many, as a user's call makes it."""

from dataclasses import replace

import numpy as np

from admmirnn.streaming import Answer, Stream
from bench import flops
from bench.cases import network_of, problem
from bench.flops import Size
from bench.measure import backend_named
from bench.test_kernels import VARIANTS, at_sizes

N_STEPS = 100
ONE, MANY = (Size(n=128, B=B, N=N_STEPS, d=3, K=3) for B in (1, 64))


@VARIANTS
@at_sizes(ONE, MANY, quick=(ONE, MANY))
def test_step_of_streams(measure, size, dtype, variant):
    observations = problem(size, dtype)[0].observations.reshape(size.N, size.B, size.d)
    rows = list(observations[:, 0] if size.B == 1 else observations)
    with backend_named(variant):
        stream = Stream(
            network_of(size, dtype), Answer("values", np.zeros(size.K), np.ones(size.K)), 1.0, (1, 1), size.B
        )
    one_step = replace(size, N=1)

    def loop():
        for x in rows:
            stream(x)

    measure(
        loop, kernel="step of streams", size=one_step, dtype=dtype, variant=variant,
        flops=flops.forward(replace(size, N=2)) - flops.roll_out(one_step), calls=N_STEPS,
    )  # fmt: skip
