"""The o-step: the exact proximal operator of each loss at the network's outputs, and its multiplier.

A row of outputs q has a class number or K values as its target, and a weight.  The o-step writes
o+ = argmin_o R(o) + rho/2 |o - q|^2 and lambda3 = weight * rho (o+ - q) = -weight * grad R(o+); the loss is the
weighted mean of R(q).  Of a row of weight 0 the target is not looked at: o+ = q, lambda3 = 0, and it does not count.

The losses, by name: "cross_entropy", log sum_k exp(o_k) - o_y, and "hinge", sum_k max(0, 1 - t_k o_k), t_k = 1 for the
class and -1 for the others, take class numbers; the others are sums over the outputs and take values:
"squared_error", 1/2 (o - y)^2; "sigmoid_cross_entropy", log(1 + exp(o)) - y o with y from 0 to 1; "huber", with delta
as its parameter; "quantile", q (y - o) where o < y and (1 - q) (o - y) elsewhere, with q as its parameter;
"absolute_error", |o - y|.
"""

from cython cimport floating
from libc.float cimport DBL_MAX
from libc.math cimport INFINITY, NAN, exp, fabs, log, log1p
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from admmirnn._kernels._sweep_simd cimport ENOUGH_LANES, LANES, softmax_prox

cdef int MOST_NEWTON_STEPS = 200                # 3 to 6 are usual; hundreds are not reached


cdef double relative_softmax(Py_ssize_t K, const double* o, Py_ssize_t label, double* p) noexcept nogil:
    """p = softmax(o); -log p[label], accurate when it is tiny."""
    cdef double largest = o[0], total = 0, others = 0
    cdef Py_ssize_t j
    for j in range(1, K):
        if o[j] > largest:
            largest = o[j]
    if largest > DBL_MAX:                              # an output has overflowed
        for j in range(K):
            p[j] = NAN
        return NAN
    for j in range(K):
        p[j] = exp(o[j] - largest)
        total += p[j]
        if j != label:
            others += p[j]
    for j in range(K):
        p[j] /= total
    if o[label] == largest:
        return log1p(others)
    return log(total) + (largest - o[label])


cdef double merit(Py_ssize_t K, const double* q, const double* u, Py_ssize_t label, double rho,
                  double* o, double* p) noexcept nogil:
    """R(q + u) + rho/2 |u|^2, leaving p = softmax(q + u)."""
    cdef double square = 0
    cdef Py_ssize_t j
    for j in range(K):
        o[j] = q[j] + u[j]
        square += u[j] * u[j]
    return relative_softmax(K, o, label, p) + 0.5 * rho * square


cdef void prox_row(Py_ssize_t K, const double* q, Py_ssize_t label, double rho, double tolerance,
                   double* u, double* p, double* o, double* step, double* trial) noexcept nogil:
    """u = o+ - q by Newton's method with a line search, from the u that it is given, and p = softmax(o+).

    The Hessian is rho I + diag(p) - p p^T, so a step costs O(K) by the Sherman-Morrison formula.
    """
    cdef double value, previous, gradient, largest_gradient, h_gradient, h_p, slope, length, size
    cdef Py_ssize_t j, _
    previous = merit(K, q, u, label, rho, o, p)
    for _ in range(MOST_NEWTON_STEPS):
        # g = p - e_y + rho u;  d = -(H^-1) g, with h = 1 / (rho + p) and 1 - p.(h p) = rho sum(p h)
        largest_gradient = h_gradient = h_p = 0
        for j in range(K):
            gradient = p[j] + rho * u[j] - (1 if j == label else 0)
            step[j] = gradient / (rho + p[j])
            h_gradient += p[j] * step[j]
            h_p += p[j] / (rho + p[j])
            if not fabs(gradient) <= largest_gradient:
                largest_gradient = fabs(gradient)
        if not largest_gradient > tolerance:
            break
        h_gradient /= rho * h_p
        slope = size = 0
        for j in range(K):
            gradient = p[j] + rho * u[j] - (1 if j == label else 0)
            step[j] = -(step[j] + p[j] / (rho + p[j]) * h_gradient)
            slope += gradient * step[j]
            if fabs(q[j] + u[j]) > size:
                size = fabs(q[j] + u[j])
        length = 1
        while True:
            for j in range(K):
                trial[j] = u[j] + length * step[j]
            value = merit(K, q, trial, label, rho, o, p)
            # the last term is what rounding does to the merit function at large outputs
            if value <= previous + 1e-4 * length * slope + 1e-15 * (fabs(previous) + size) or length < 1e-12:
                break
            length *= 0.5
        for j in range(K):
            u[j] = trial[j]
        previous = value


cdef inline double clip(double x, double least, double most) noexcept nogil:
    """x, or the bound it is beyond; NaN stays NaN."""
    return least if x < least else most if x > most else x


cdef inline double huber(double residual, double delta) noexcept nogil:
    """R of o - y = residual."""
    if fabs(residual) <= delta:
        return 0.5 * residual * residual
    return delta * (fabs(residual) - 0.5 * delta)


cdef inline double prox_huber(double q, double y, double rho, double delta, double* o) noexcept nogil:
    """o = o+; returns rho (o+ - q)."""
    cdef double shrink = rho / (1 + rho), pull = clip(shrink * (y - q), -delta, delta)
    o[0] = q + pull / rho if fabs(pull) == delta else y - shrink * (y - q)
    return pull


cdef inline double pinball(double residual, double below, double above) noexcept nogil:
    """R of o - y = residual, with the slopes -below and above."""
    return above * residual if residual >= 0 else -below * residual


cdef inline double prox_pinball(double q, double y, double rho, double below, double above, double* o) noexcept nogil:
    """o = o+, by a soft threshold; returns rho (o+ - q)."""
    cdef double pull = rho * (y - q)
    if pull > below:
        o[0] = q + below / rho
        return below
    if pull < -above:
        o[0] = q - above / rho
        return -above
    o[0] = y
    return pull


cdef inline double sigmoid_cross_entropy(double o, double y) noexcept nogil:
    """log(1 + exp(o)) - y o, accurate when it is tiny."""
    cdef double least = log1p(exp(-fabs(o)))                # of the two logarithms log(1 + exp(o)), log(1 + exp(-o))
    return least + ((1 - y) * o if o > 0 else -y * o)


cdef inline double pull_of_sigmoid(double o, double y, double z, double* slope) noexcept nogil:
    """y - sigma(o), with z = 1 - y; slope = sigma'(o)."""
    cdef double e = exp(-fabs(o)), large = 1 / (1 + e), small = e * large
    slope[0] = large * small
    return y * small - z * large if o > 0 else y * large - z * small


cdef double prox_sigmoid(double q, double y, double rho, double tolerance) noexcept nogil:
    """o+ - q, the root u of y - sigma(q + u) - rho u: Newton's method, halving the bracket where that is too slow."""
    cdef double z = 1 - y, side = 1, slope, pull, low, high, u, step, before, other
    cdef int _
    pull = pull_of_sigmoid(q, y, z, &slope)
    if pull == 0:
        return 0
    if pull < 0:                                       # o -> -o, so that the root is positive
        q, y, z, side, pull = -q, z, y, -1, -pull
    # sigma(-o) >= rho u; and below log(y) - 37 sigma is nothing to y
    high = min(pull / rho, max(<double> 1, -log(rho) - q))
    low = clip(min(log(y) - 37 - q, y / rho * (1 - 1e-15)), 0, high)
    u = clip(pull / (rho + slope), low, high)
    before = high - low
    for _ in range(MOST_NEWTON_STEPS):
        pull = pull_of_sigmoid(q + u, y, z, &slope) - rho * u
        if pull > 0:
            low = u
        else:
            high = u
        step = pull / (rho + slope)
        other = u + step
        if not (low <= other <= high and 2 * fabs(step) <= before) and not fabs(step) <= tolerance * u:
            other = low + 0.5 * (high - low)
            step = other - u
        before = fabs(step)
        u = other
        if not before > tolerance * u:
            break
    return side * u


cdef double loss_of_row(Targets* targets, Py_ssize_t i, const floating* O, double* scratch) noexcept nogil:
    """R at o_i.  ``scratch`` holds 2 K numbers."""
    cdef Py_ssize_t K = targets.K, j, label = targets.labels[i] if targets.labels != NULL else 0
    cdef Loss kind = targets.kind
    cdef double loss = 0, residual, parameter = targets.parameter
    cdef const floating* o = O + i * K
    cdef const floating* y = <const floating*> targets.values + i * K if targets.values != NULL else NULL
    if kind == CROSS_ENTROPY:
        for j in range(K):
            scratch[j] = o[j]
        return relative_softmax(K, scratch, label, scratch + K)
    if kind == HINGE:
        for j in range(K):
            loss += pinball(o[j] - <double> 1, 1, 0) if j == label else pinball(o[j] + <double> 1, 0, 1)
    elif kind == SQUARED_ERROR:
        for j in range(K):
            residual = <double> y[j] - o[j]
            loss += 0.5 * residual * residual
    elif kind == SIGMOID_CROSS_ENTROPY:
        for j in range(K):
            loss += sigmoid_cross_entropy(o[j], y[j])
    elif kind == HUBER:
        for j in range(K):
            loss += huber(<double> o[j] - y[j], parameter)
    elif kind == QUANTILE:
        for j in range(K):
            loss += pinball(<double> o[j] - y[j], parameter, 1 - parameter)
    elif kind == ABSOLUTE_ERROR:
        for j in range(K):
            loss += fabs(<double> o[j] - y[j])
    return loss


cdef void cross_entropy_row(Targets* targets, Py_ssize_t i, const floating* q_of_row, floating* o_plus,
                            floating* lambda3, double* scratch) noexcept nogil:
    cdef Py_ssize_t K = targets.K, label = targets.labels[i], j
    cdef double tolerance = 1e-8 if floating is float else 1e-13
    cdef floating weight = (<const floating*> targets.weights)[i]
    cdef double *q = scratch, *u = q + K, *p = u + K, *o = p + K, *step = o + K, *trial = step + K
    for j in range(K):
        q[j] = q_of_row[j]
    memset(u, 0, K * sizeof(double))
    prox_row(K, q, label, targets.rho, tolerance, u, p, o, step, trial)
    for j in range(K):
        o_plus[j] = <floating> (q[j] + u[j])
        lambda3[j] = <floating> (weight * ((1 if j == label else 0) - p[j]))


cdef void prox_of_row(Targets* targets, Py_ssize_t i, const floating* Q, double* scratch) noexcept nogil:
    """o+ and lambda3 of row i.  ``scratch`` holds 6 K numbers."""
    cdef Py_ssize_t K = targets.K, j, label = targets.labels[i] if targets.labels != NULL else 0
    cdef Loss kind = targets.kind
    cdef double rho = targets.rho, parameter = targets.parameter, shrink = rho / (1 + rho), o, pull, residual, u
    cdef double tolerance = 1e-8 if floating is float else 1e-15
    cdef floating weight = (<const floating*> targets.weights)[i]
    cdef const floating* q = Q + i * K
    cdef const floating* y = <const floating*> targets.values + i * K if targets.values != NULL else NULL
    cdef floating *o_plus = <floating*> targets.O_plus + i * K
    cdef floating *lambda3 = <floating*> targets.lambda3 + i * K
    if kind == CROSS_ENTROPY:
        cross_entropy_row(targets, i, q, o_plus, lambda3, scratch)
    elif kind == HINGE:                                # pinball losses about 1 and -1, each flat on one side
        for j in range(K):
            pull = prox_pinball(q[j], 1, rho, 1, 0, &o) if j == label else prox_pinball(q[j], -1, rho, 0, 1, &o)
            o_plus[j], lambda3[j] = <floating> o, <floating> (weight * pull)
    elif kind == SQUARED_ERROR:
        for j in range(K):
            residual = <double> y[j] - q[j]
            o_plus[j] = <floating> (y[j] - shrink * residual)
            lambda3[j] = <floating> (weight * shrink * residual)
    elif kind == SIGMOID_CROSS_ENTROPY:
        for j in range(K):
            u = prox_sigmoid(q[j], y[j], rho, tolerance)
            o_plus[j], lambda3[j] = <floating> (q[j] + u), <floating> (weight * (rho * u))
    elif kind == HUBER:
        for j in range(K):
            pull = prox_huber(q[j], y[j], rho, parameter, &o)
            o_plus[j], lambda3[j] = <floating> o, <floating> (weight * pull)
    elif kind == QUANTILE:
        for j in range(K):
            pull = prox_pinball(q[j], y[j], rho, parameter, 1 - parameter, &o)
            o_plus[j], lambda3[j] = <floating> o, <floating> (weight * pull)
    elif kind == ABSOLUTE_ERROR:
        for j in range(K):
            pull = prox_pinball(q[j], y[j], rho, 1, 1, &o)
            o_plus[j], lambda3[j] = <floating> o, <floating> (weight * pull)


cdef bint is_right(Targets* targets, Py_ssize_t i, const floating* O) noexcept nogil:
    """Whether the first of the largest outputs is at the label."""
    cdef const floating* o = O + i * targets.K
    cdef Py_ssize_t best = 0, j
    for j in range(1, targets.K):
        if o[j] > o[best]:
            best = j
    return best == targets.labels[i]


cdef Py_ssize_t room_of_o_step(Py_ssize_t K) noexcept nogil:
    """How many numbers the o-step needs: those of ``prox_row`` and of ``softmax_prox``."""
    return 6 * K + 4 * K * LANES


cdef double loss_of_lane(Py_ssize_t K, Py_ssize_t label, const double* p) noexcept nogil:
    """-log p[label] from every LANES-th number of p, or -1 where that would not be accurate."""
    cdef double others = 0
    cdef Py_ssize_t j
    if not p[label * LANES] >= 1e-290:
        return -1
    for j in range(K):
        if j != label:
            others += p[j * LANES]
    return -log1p(-others) if others < 0.5 else -log(p[label * LANES])


cdef double cross_entropy_rows(Targets* targets, const Py_ssize_t* which, int count, double* scratch,
                               const floating* Q) noexcept nogil:
    """The o-step of up to LANES rows side by side; the sum of their weighted losses."""
    cdef Py_ssize_t K = targets.K, i, j
    cdef double *q = scratch + 6 * K
    cdef double *y = q + K * LANES
    cdef double *u = y + K * LANES
    cdef double *p = u + K * LANES
    cdef double[LANES] rho, error, R
    cdef double loss = 0, tolerance = 1e-8 if floating is float else 1e-13
    cdef const floating* weights = <const floating*> targets.weights
    cdef floating *o_plus = <floating*> targets.O_plus
    cdef floating *lambda3 = <floating*> targets.lambda3
    cdef int lane
    for lane in range(LANES):
        i = which[lane if lane < count else 0]              # lanes that are left over repeat the first
        rho[lane] = targets.rho
        for j in range(K):
            q[j * LANES + lane] = Q[i * K + j]
            y[j * LANES + lane] = j == targets.labels[i]
    memset(u, 0, K * LANES * sizeof(double))
    softmax_prox(K, q, y, rho, INFINITY, u, p, error)        # p = softmax(q), and nothing else
    for lane in range(count):
        R[lane] = loss_of_lane(K, targets.labels[which[lane]], p + lane)
    softmax_prox(K, q, y, rho, tolerance, u, p, error)
    for lane in range(count):
        i = which[lane]
        loss += weights[i] * (R[lane] if R[lane] >= 0 else loss_of_row(targets, i, Q, scratch))
        if error[lane] <= tolerance:
            for j in range(K):
                o_plus[i * K + j] = <floating> (q[j * LANES + lane] + u[j * LANES + lane])
                lambda3[i * K + j] = <floating> (weights[i] * (y[j * LANES + lane] - p[j * LANES + lane]))
        else:
            prox_of_row(targets, i, Q, scratch)
    return loss


cdef double o_step_of_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, Py_ssize_t* n_correct,
                           double* scratch, const floating* Q) noexcept nogil:
    """The o-step of these rows, if there is an O_plus; the sum of their weighted losses, and how many are right.

    ``scratch`` holds `room_of_o_step` numbers.
    """
    cdef Py_ssize_t K = targets.K, i
    cdef const floating* weights = <const floating*> targets.weights
    cdef bint side_by_side = targets.kind == CROSS_ENTROPY and targets.O_plus != NULL and last - first >= ENOUGH_LANES
    cdef Py_ssize_t[LANES] which
    cdef int lane = 0
    cdef double loss = 0
    for i in range(first, last):
        if weights[i] != 0:
            if targets.labels != NULL:
                n_correct[0] += is_right(targets, i, Q)
            if side_by_side:
                which[lane] = i
                lane += 1
                if lane == LANES:
                    loss += cross_entropy_rows(targets, which, lane, scratch, Q)
                    lane = 0
                continue
            loss += weights[i] * loss_of_row(targets, i, Q, scratch)
            if targets.O_plus != NULL:
                prox_of_row(targets, i, Q, scratch)
        elif targets.O_plus != NULL:
            memcpy(<floating*> targets.O_plus + i * K, Q + i * K, K * sizeof(floating))
            memset(<floating*> targets.lambda3 + i * K, 0, K * sizeof(floating))
    if lane > 0:
        loss += cross_entropy_rows(targets, which, lane, scratch, Q)
    return loss


cdef Loss loss_named(str name) except *:
    if name == "cross_entropy":
        return CROSS_ENTROPY
    if name == "hinge":
        return HINGE
    if name == "squared_error":
        return SQUARED_ERROR
    if name == "sigmoid_cross_entropy":
        return SIGMOID_CROSS_ENTROPY
    if name == "huber":
        return HUBER
    if name == "quantile":
        return QUANTILE
    if name == "absolute_error":
        return ABSOLUTE_ERROR
    raise ValueError(f"loss {name!r} has no kernel")


cdef double set_targets(Targets* targets, str kernel, Py_ssize_t B, Py_ssize_t K, const Py_ssize_t[::1] labels,
                        const floating[:, ::1] values, const floating[::1] weights, double rho,
                        floating[:, ::1] O_plus, floating[:, ::1] lambda3, str loss, double parameter) except? -1:
    """Check what belongs to the rows and put it into ``targets``; the sum of the weights."""
    cdef double total = 0
    cdef Py_ssize_t i
    targets.kind = loss_named(loss)
    cdef bint takes_labels = targets.kind == CROSS_ENTROPY or targets.kind == HINGE
    if (labels is not None) != takes_labels or (values is None) != takes_labels \
            or (labels is not None and labels.shape[0] != B) \
            or (values is not None and (values.shape[0] != B or values.shape[1] != K)) \
            or weights is None or weights.shape[0] != B or (O_plus is None) != (lambda3 is None) \
            or (O_plus is not None and (O_plus.shape[0] != B or O_plus.shape[1] != K
                                        or lambda3.shape[0] != B or lambda3.shape[1] != K)):
        raise ValueError(f"{kernel}: the shapes of the targets do not belong together, or not to {loss!r}")
    for i in range(B):
        total += weights[i]
        if takes_labels and weights[i] != 0 and not 0 <= labels[i] < K:
            raise ValueError(f"{kernel}: label {labels[i]} of row {i} is not below {K}")
    targets.parameter, targets.K, targets.rho = parameter, K, rho
    targets.labels, targets.values = &labels[0] if takes_labels else NULL, NULL if takes_labels else &values[0, 0]
    targets.weights = &weights[0]
    targets.O_plus, targets.lambda3 = NULL, NULL
    if O_plus is not None:
        targets.O_plus, targets.lambda3 = &O_plus[0, 0], &lambda3[0, 0]
    return total


def o_step(const floating[:, ::1] Q, const Py_ssize_t[::1] labels, const floating[:, ::1] values,
           const floating[::1] weights, double rho, floating[:, ::1] O_plus_out, floating[:, ::1] lambda3_out,
           str loss, double parameter=0):
    """The o-step of all rows of Q, with ``labels`` or ``values``, the other being None.

    Returns the loss at Q, NaN without any weight, and the number of right answers, None for values.
    """
    cdef Py_ssize_t B = Q.shape[0], K = Q.shape[1], n_correct = 0
    cdef double total, weighted
    cdef Targets targets
    if O_plus_out is None:
        raise ValueError("o_step: there is nowhere to write to")
    total = set_targets[floating](&targets, "o_step", B, K, labels, values, weights, rho, O_plus_out, lambda3_out,
                                  loss, parameter)
    cdef double* scratch = <double*> malloc(room_of_o_step(K) * sizeof(double))
    if scratch == NULL:
        raise MemoryError
    with nogil:
        weighted = o_step_of_rows[floating](&targets, 0, B, &n_correct, scratch, &Q[0, 0])
    free(scratch)
    return weighted / total, n_correct if labels is not None else None


def loss_value(const floating[:, ::1] O, const Py_ssize_t[::1] labels, const floating[:, ::1] values,
               const floating[::1] weights, str loss, double parameter=0):
    """What `o_step` returns, and nothing else."""
    cdef Py_ssize_t rows = O.shape[0], K = O.shape[1], n_correct = 0
    cdef double total, weighted
    cdef Targets targets
    total = set_targets[floating](&targets, "loss_value", rows, K, labels, values, weights, 1, None, None, loss,
                                  parameter)
    cdef double* scratch = <double*> malloc(room_of_o_step(K) * sizeof(double))
    if scratch == NULL:
        raise MemoryError
    with nogil:
        weighted = o_step_of_rows[floating](&targets, 0, rows, &n_correct, scratch, &O[0, 0])
    free(scratch)
    return weighted / total, n_correct if labels is not None else None
