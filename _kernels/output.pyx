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

from admmirnn._kernels._arrays cimport misfit
from admmirnn._kernels._sweep_simd cimport ENOUGH_LANES, LANES, softmax_prox

cdef int MOST_NEWTON_STEPS = 200                # 3 to 6 are usual; hundreds are not reached

# A loss: of the rows from the first to the last that have a weight, the sum of their weighted R; and o+ and lambda3 are
# written if there is room for them.  The numbers of scratch are those of `room_of_o_step`.
ctypedef double (*FloatRows)(Targets* targets, Py_ssize_t first, Py_ssize_t last, const float* Q,
                             double* scratch) noexcept nogil
ctypedef double (*DoubleRows)(Targets* targets, Py_ssize_t first, Py_ssize_t last, const double* Q,
                              double* scratch) noexcept nogil

# Of one output, for a loss that is a sum over them: R; and o = o+, with rho (o+ - q) returned.
ctypedef double (*Value)(double o, double y, double parameter) noexcept nogil
ctypedef double (*Prox)(double q, double y, double rho, double parameter, double tolerance, double* o) noexcept nogil


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


cdef double cross_entropy(Targets* targets, Py_ssize_t i, const floating* O, double* scratch) noexcept nogil:
    """R at o_i.  ``scratch`` holds 2 K numbers."""
    cdef Py_ssize_t K = targets.K, j
    for j in range(K):
        scratch[j] = O[i * K + j]
    return relative_softmax(K, scratch, targets.labels[i], scratch + K)


cdef void prox_cross_entropy(Targets* targets, Py_ssize_t i, const floating* Q, double* scratch) noexcept nogil:
    """o+ and lambda3 of row i.  ``scratch`` holds 6 K numbers."""
    cdef Py_ssize_t K = targets.K, label = targets.labels[i], j
    cdef double tolerance = 1e-8 if floating is float else 1e-13
    cdef floating weight = (<const floating*> targets.weights)[i]
    cdef floating *o_plus = <floating*> targets.O_plus + i * K
    cdef floating *lambda3 = <floating*> targets.lambda3 + i * K
    cdef double *q = scratch, *u = q + K, *p = u + K, *o = p + K, *step = o + K, *trial = step + K
    for j in range(K):
        q[j] = Q[i * K + j]
    memset(u, 0, K * sizeof(double))
    prox_row(K, q, label, targets.rho, tolerance, u, p, o, step, trial)
    for j in range(K):
        o_plus[j] = <floating> (q[j] + u[j])
        lambda3[j] = <floating> (weight * ((1 if j == label else 0) - p[j]))


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


cdef double cross_entropy_lanes(Targets* targets, const Py_ssize_t* which, int count, double* scratch,
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
        loss += weights[i] * (R[lane] if R[lane] >= 0 else cross_entropy(targets, i, Q, scratch))
        if error[lane] <= tolerance:
            for j in range(K):
                o_plus[i * K + j] = <floating> (q[j * LANES + lane] + u[j * LANES + lane])
                lambda3[i * K + j] = <floating> (weights[i] * (y[j * LANES + lane] - p[j * LANES + lane]))
        else:
            prox_cross_entropy(targets, i, Q, scratch)
    return loss


cdef double cross_entropy_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, const floating* Q,
                               double* scratch) noexcept nogil:
    cdef const floating* weights = <const floating*> targets.weights
    cdef bint side_by_side = targets.O_plus != NULL and last - first >= ENOUGH_LANES
    cdef Py_ssize_t[LANES] which
    cdef Py_ssize_t i
    cdef int lane = 0
    cdef double loss = 0
    for i in range(first, last):
        if weights[i] == 0:
            continue
        if side_by_side:
            which[lane] = i
            lane += 1
            if lane == LANES:
                loss += cross_entropy_lanes(targets, which, lane, scratch, Q)
                lane = 0
        else:
            loss += weights[i] * cross_entropy(targets, i, Q, scratch)
            if targets.O_plus != NULL:
                prox_cross_entropy(targets, i, Q, scratch)
    if lane > 0:
        loss += cross_entropy_lanes(targets, which, lane, scratch, Q)
    return loss


cdef inline double clip(double x, double least, double most) noexcept nogil:
    """x, or the bound it is beyond; NaN stays NaN."""
    return least if x < least else most if x > most else x


cdef inline double pinball(double o, double y, double below, double above) noexcept nogil:
    """R with the slopes -below where o < y, and above."""
    cdef double residual = o - y
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


cdef inline double rows_of_values(Value value, Prox prox, Targets* targets, Py_ssize_t first, Py_ssize_t last,
                                  const floating* Q) noexcept nogil:
    """A loss that is a sum over the outputs, which the compiler inlines where ``value`` and ``prox`` are known."""
    cdef Py_ssize_t K = targets.K, i, j
    cdef double rho = targets.rho, parameter = targets.parameter, tolerance = 1e-8 if floating is float else 1e-15
    cdef double loss = 0, loss_of_row, o, pull
    cdef const floating* y = <const floating*> targets.values
    cdef const floating* weights = <const floating*> targets.weights
    cdef floating *o_plus = <floating*> targets.O_plus
    cdef floating *lambda3 = <floating*> targets.lambda3
    for i in range(first, last):
        if weights[i] != 0:
            loss_of_row = 0
            for j in range(i * K, (i + 1) * K):
                loss_of_row += value(Q[j], y[j], parameter)
            loss += weights[i] * loss_of_row
            if o_plus != NULL:
                for j in range(i * K, (i + 1) * K):
                    pull = prox(Q[j], y[j], rho, parameter, tolerance, &o)
                    o_plus[j], lambda3[j] = <floating> o, <floating> (weights[i] * pull)
    return loss


cdef double squared_error_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, const floating* Q,
                               double* scratch) noexcept nogil:
    cdef Py_ssize_t K = targets.K, i, j
    cdef double shrink = targets.rho / (1 + targets.rho), loss = 0, loss_of_row, residual
    cdef const floating* y = <const floating*> targets.values
    cdef const floating* weights = <const floating*> targets.weights
    cdef floating *o_plus = <floating*> targets.O_plus
    cdef floating *lambda3 = <floating*> targets.lambda3
    for i in range(first, last):
        if weights[i] != 0:
            loss_of_row = 0
            for j in range(i * K, (i + 1) * K):
                residual = <double> y[j] - Q[j]
                loss_of_row += 0.5 * residual * residual
            loss += weights[i] * loss_of_row
            if o_plus != NULL:
                for j in range(i * K, (i + 1) * K):
                    residual = <double> y[j] - Q[j]
                    o_plus[j] = <floating> (y[j] - shrink * residual)
                    lambda3[j] = <floating> (weights[i] * shrink * residual)
    return loss


cdef inline double sigmoid_cross_entropy(double o, double y, double parameter) noexcept nogil:
    """log(1 + exp(o)) - y o, accurate when it is tiny."""
    cdef double least = log1p(exp(-fabs(o)))                # of the two logarithms log(1 + exp(o)), log(1 + exp(-o))
    return least + ((1 - y) * o if o > 0 else -y * o)


cdef inline double pull_of_sigmoid(double o, double y, double z, double* slope) noexcept nogil:
    """y - sigma(o), with z = 1 - y; slope = sigma'(o)."""
    cdef double e = exp(-fabs(o)), large = 1 / (1 + e), small = e * large
    slope[0] = large * small
    return y * small - z * large if o > 0 else y * large - z * small


cdef double root_of_sigmoid(double q, double y, double rho, double tolerance) noexcept nogil:
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


cdef inline double prox_sigmoid_cross_entropy(double q, double y, double rho, double parameter, double tolerance,
                                              double* o) noexcept nogil:
    cdef double u = root_of_sigmoid(q, y, rho, tolerance)
    o[0] = q + u
    return rho * u


cdef double sigmoid_cross_entropy_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, const floating* Q,
                                       double* scratch) noexcept nogil:
    return rows_of_values(sigmoid_cross_entropy, prox_sigmoid_cross_entropy, targets, first, last, Q)


cdef inline double huber(double o, double y, double delta) noexcept nogil:
    cdef double size = fabs(o - y)
    return 0.5 * size * size if size <= delta else delta * (size - 0.5 * delta)


cdef inline double prox_huber(double q, double y, double rho, double delta, double tolerance,
                              double* o) noexcept nogil:
    cdef double shrink = rho / (1 + rho), pull = clip(shrink * (y - q), -delta, delta)
    o[0] = q + pull / rho if fabs(pull) == delta else y - shrink * (y - q)
    return pull


cdef double huber_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, const floating* Q,
                       double* scratch) noexcept nogil:
    return rows_of_values(huber, prox_huber, targets, first, last, Q)


cdef inline double quantile(double o, double y, double share) noexcept nogil:
    return pinball(o, y, share, 1 - share)


cdef inline double prox_quantile(double q, double y, double rho, double share, double tolerance,
                                 double* o) noexcept nogil:
    return prox_pinball(q, y, rho, share, 1 - share, o)


cdef double quantile_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, const floating* Q,
                          double* scratch) noexcept nogil:
    return rows_of_values(quantile, prox_quantile, targets, first, last, Q)


cdef inline double absolute_error(double o, double y, double parameter) noexcept nogil:
    return fabs(o - y)


cdef inline double prox_absolute_error(double q, double y, double rho, double parameter, double tolerance,
                                       double* o) noexcept nogil:
    return prox_pinball(q, y, rho, 1, 1, o)


cdef double absolute_error_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, const floating* Q,
                                double* scratch) noexcept nogil:
    return rows_of_values(absolute_error, prox_absolute_error, targets, first, last, Q)


cdef double hinge_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, const floating* Q,
                       double* scratch) noexcept nogil:
    """Pinball losses about 1 and -1, each flat on one side."""
    cdef Py_ssize_t K = targets.K, i, j, label
    cdef double rho = targets.rho, loss = 0, loss_of_row, o, pull
    cdef const floating* weights = <const floating*> targets.weights
    cdef floating *o_plus = <floating*> targets.O_plus
    cdef floating *lambda3 = <floating*> targets.lambda3
    for i in range(first, last):
        if weights[i] != 0:
            label, loss_of_row = i * K + targets.labels[i], 0
            for j in range(i * K, (i + 1) * K):
                loss_of_row += pinball(Q[j], 1, 1, 0) if j == label else pinball(Q[j], -1, 0, 1)
            loss += weights[i] * loss_of_row
            if o_plus != NULL:
                for j in range(i * K, (i + 1) * K):
                    pull = prox_pinball(Q[j], 1, rho, 1, 0, &o) if j == label else prox_pinball(Q[j], -1, rho, 0, 1, &o)
                    o_plus[j], lambda3[j] = <floating> o, <floating> (weights[i] * pull)
    return loss


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


# Which losses there are.

cdef struct Loss:
    const char* name
    bint takes_labels                             # class numbers, instead of K values a row
    FloatRows of_floats
    DoubleRows of_doubles

cdef enum:
    N_LOSSES = 7

cdef Loss[N_LOSSES] LOSSES
LOSSES[:] = [
    Loss(b"cross_entropy", True, cross_entropy_rows[float], cross_entropy_rows[double]),
    Loss(b"hinge", True, hinge_rows[float], hinge_rows[double]),
    Loss(b"squared_error", False, squared_error_rows[float], squared_error_rows[double]),
    Loss(b"sigmoid_cross_entropy", False, sigmoid_cross_entropy_rows[float], sigmoid_cross_entropy_rows[double]),
    Loss(b"huber", False, huber_rows[float], huber_rows[double]),
    Loss(b"quantile", False, quantile_rows[float], quantile_rows[double]),
    Loss(b"absolute_error", False, absolute_error_rows[float], absolute_error_rows[double]),
]
cdef dict PLACES = {LOSSES[place].name.decode(): place for place in range(N_LOSSES)}


cdef int loss_named(str name) except -1:
    """Its place among the losses."""
    place = PLACES.get(name)
    if place is None:
        raise ValueError(f"loss {name!r} has no kernel; pass one of {', '.join(PLACES)}")
    return place


cdef double o_step_of_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, Py_ssize_t* n_correct,
                           double* scratch, const floating* Q) noexcept nogil:
    """The o-step of these rows, if there is an O_plus; the sum of their weighted losses, and how many are right.

    ``scratch`` holds `room_of_o_step` numbers.
    """
    cdef Py_ssize_t K = targets.K, i
    cdef const floating* weights = <const floating*> targets.weights
    for i in range(first, last):
        if weights[i] != 0:
            if targets.labels != NULL:
                n_correct[0] += is_right(targets, i, Q)
        elif targets.O_plus != NULL:
            memcpy(<floating*> targets.O_plus + i * K, Q + i * K, K * sizeof(floating))
            memset(<floating*> targets.lambda3 + i * K, 0, K * sizeof(floating))
    if floating is float:
        return LOSSES[targets.loss].of_floats(targets, first, last, Q, scratch)
    else:
        return LOSSES[targets.loss].of_doubles(targets, first, last, Q, scratch)


cdef double set_targets(Targets* targets, str kernel, Py_ssize_t B, Py_ssize_t K, const Py_ssize_t[::1] labels,
                        const floating[:, ::1] values, const floating[::1] weights, double rho,
                        floating[:, ::1] O_plus, floating[:, ::1] lambda3, str loss, double parameter) except? -1:
    """Check what belongs to the rows and put it into ``targets``; the sum of the weights."""
    cdef double total = 0
    cdef Py_ssize_t i
    targets.loss = loss_named(loss)
    cdef bint takes_labels = LOSSES[targets.loss].takes_labels
    if (labels is not None) != takes_labels or (values is None) != takes_labels \
            or (labels is not None and labels.shape[0] != B) \
            or (values is not None and (values.shape[0] != B or values.shape[1] != K)) \
            or weights is None or weights.shape[0] != B or (O_plus is None) != (lambda3 is None) \
            or (O_plus is not None and (O_plus.shape[0] != B or O_plus.shape[1] != K
                                        or lambda3.shape[0] != B or lambda3.shape[1] != K)):
        expected = [("labels", labels, <object> (B,) if takes_labels else None),
                    ("values", values, None if takes_labels else <object> (B, K)), ("weights", weights, (B,))]
        for name, array, other in (("O_plus", O_plus, lambda3), ("lambda3", lambda3, O_plus)):
            expected.append((name, array, None if array is None and other is None else <object> (B, K)))
        raise misfit(kernel, expected, "")
    for i in range(B):
        total += weights[i]
        if takes_labels and weights[i] != 0 and not 0 <= labels[i] < K:
            raise ValueError(f"{kernel}: label {labels[i]} of row {i} must be from 0 to {K - 1}, one of {K} classes")
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
        raise misfit("o_step", [("O_plus_out", None, (B, K))], "")
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
