"""Checks of scikit-learn that estimators fail, and why.

`IN_FLOAT32` are those that fail where an estimator computes in float32, which is the default.
"""

# Both ask for the same output of a sequence, whichever others are predicted with it, to 1e-7 of its value.  Numbers in
# float32 are 6e-8 to 1.2e-7 of their value apart, and a matrix product rounds a row according to its place: kernels of
# BLAS take rows in tiles, and add up those that are left over in another order, or without fused operations.  In which
# rows this shows depends on the kernel, so on the processor, and one of the checks draws its order anew each time: an
# estimator may pass on one machine and fail on another.  tests/test_estimators.py has what holds on all of them.
IN_FLOAT32 = dict.fromkeys(
    ["check_methods_subset_invariance", "check_methods_sample_order_invariance"],
    "asks for float64: differences of 1e-7 are refused",
)

# A default fit to sequences of weight 2 cannot be that to sequences that are there twice: half as many sequences make
# smaller minibatches, in another random order, and the ridge of penalty="auto" goes by how many there are, as the unit
# of weights has no meaning.  With one minibatch, shuffle=False and a number for the penalty they are the same fit to
# rounding, which tests/test_weights.py shows for fit and partial_fit of all kinds of networks.
DEPENDS_ON_NUMBER = "how many sequences there are decides upon minibatches, their order and the ridge"

# A forecaster is fitted to series, and not to X and y: the rows of an array are the steps of one series.
OF_FORECASTERS = {
    "check_fit_score_takes_y": "fit takes series and their known inputs, and there is no y",
    "check_n_features_in_after_fitting": "a series has values, n_values_ of them, and no features",
    "check_n_features_in": "a series has values, n_values_ of them, and no features",
    "check_estimators_empty_data_messages": "the message speaks of a series and its shape, and not of features",
    "check_fit2d_1sample": "the message says that a series of one step is too short, and not that there is one sample",
    "check_fit1d": "an array of one dimension is a series of one value per step, the usual form",
}
