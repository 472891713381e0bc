"""The o-step: the exact proximal operator of each loss at the network's outputs, and its multiplier.

The ``_step`` functions take the outputs Q (B, K) of a roll-out, the targets, the weight of each sequence (mean one
over the minibatch) and rho; they write o+ = argmin_o R(o) + rho/2 |o - q|^2 and lambda3 = -weight * grad R(o+) and
return the weighted mean of R(q), which is the roll-out loss.  The others return the loss alone.
"""

from cython cimport floating
from libc.float cimport DBL_MAX
from libc.math cimport NAN, exp, fabs, log, log1p
from libc.stdlib cimport free, malloc
from libc.string cimport memset

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
    cdef Py_ssize_t j, iteration
    previous = merit(K, q, u, label, rho, o, p)
    for iteration in range(MOST_NEWTON_STEPS):
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


def cross_entropy(const floating[:, ::1] O, const Py_ssize_t[::1] labels, const floating[::1] weights):
    """Softmax cross-entropy: weighted mean, and the number of right answers, of the rows of positive weight."""
    cdef Py_ssize_t rows = O.shape[0], K = O.shape[1], i, j, best, n_correct = 0
    cdef double loss = 0, total = 0
    cdef double *o
    cdef double *p
    if labels.shape[0] != rows or weights.shape[0] != rows:
        raise ValueError("cross_entropy: the shapes do not belong together")
    for i in range(rows):
        if weights[i] != 0 and not 0 <= labels[i] < K:
            raise ValueError(f"cross_entropy: label {labels[i]} of row {i} is not below {K}")
    o = <double*> malloc(2 * K * sizeof(double))
    if o == NULL:
        raise MemoryError
    p = o + K
    with nogil:
        for i in range(rows):
            if weights[i] == 0:
                continue
            best = 0
            for j in range(K):
                o[j] = O[i, j]
                if o[j] > o[best]:
                    best = j
            n_correct += best == labels[i]
            loss += weights[i] * relative_softmax(K, o, labels[i], p)
            total += weights[i]
    free(o)
    return loss / total, n_correct


def squared_error(const floating[:, ::1] O, const floating[:, ::1] targets, const floating[::1] weights):
    """1/2 |o - y|^2: weighted mean of the rows."""
    cdef Py_ssize_t rows = O.shape[0], K = O.shape[1], i, j
    cdef double loss = 0, total = 0, residual
    if targets.shape[0] != rows or targets.shape[1] != K or weights.shape[0] != rows:
        raise ValueError("squared_error: the shapes do not belong together")
    with nogil:
        for i in range(rows):
            for j in range(K):
                residual = <double> targets[i, j] - O[i, j]
                loss += 0.5 * weights[i] * residual * residual
            total += weights[i]
    return loss / total


cdef double cross_entropy_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, Py_ssize_t* n_correct,
                               double* scratch, const floating* Q) noexcept nogil:
    cdef Py_ssize_t K = targets.K, i, j, label, best
    cdef double loss = 0, rho = targets.rho
    cdef double tolerance = 1e-8 if floating is float else 1e-13
    cdef const floating* weights = <const floating*> targets.weights
    cdef floating *O_plus = <floating*> targets.O_plus
    cdef floating *lambda3 = <floating*> targets.lambda3
    cdef double *q = scratch, *u = q + K, *p = u + K, *o = p + K, *step = o + K, *trial = step + K
    for i in range(first, last):
        label = targets.labels[i]
        best = 0
        for j in range(K):
            q[j] = Q[i * K + j]
            if q[j] > q[best]:
                best = j
        n_correct[0] += best == label and weights[i] != 0
        loss += weights[i] * relative_softmax(K, q, label, p)
        memset(u, 0, K * sizeof(double))
        prox_row(K, q, label, rho, tolerance, u, p, o, step, trial)
        for j in range(K):
            O_plus[i * K + j] = <floating> (q[j] + u[j])
            lambda3[i * K + j] = <floating> (weights[i] * ((1 if j == label else 0) - p[j]))
    return loss


cdef double squared_error_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, const floating* Q) noexcept nogil:
    cdef Py_ssize_t K = targets.K, i, j
    cdef double loss = 0, residual, shrink = targets.rho / (1 + targets.rho)
    cdef const floating* weights = <const floating*> targets.weights
    cdef const floating* values = <const floating*> targets.values
    cdef floating *O_plus = <floating*> targets.O_plus
    cdef floating *lambda3 = <floating*> targets.lambda3
    for i in range(first, last):
        for j in range(i * K, i * K + K):
            residual = <double> values[j] - Q[j]
            loss += 0.5 * weights[i] * residual * residual
            O_plus[j] = <floating> (values[j] - shrink * residual)
            lambda3[j] = <floating> (weights[i] * shrink * residual)
    return loss


cdef double o_step(Targets* targets, Py_ssize_t first, Py_ssize_t last, Py_ssize_t* n_correct, double* scratch,
                   const floating* Q) noexcept nogil:
    """The o-step of these rows; their summed loss, and how many answers are right.  ``scratch`` holds 6 K numbers."""
    if targets.labels != NULL:
        return cross_entropy_rows(targets, first, last, n_correct, scratch, Q)
    return squared_error_rows(targets, first, last, Q)


cdef int check_labels(str kernel, const Py_ssize_t[::1] labels, Py_ssize_t K) except -1:
    cdef Py_ssize_t i
    for i in range(labels.shape[0]):
        if not 0 <= labels[i] < K:
            raise ValueError(f"{kernel}: label {labels[i]} of row {i} is not below {K}")
    return 0


cdef double total_weight(const floating[::1] weights) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(weights.shape[0]):
        total += weights[i]
    return total


def cross_entropy_step(const floating[:, ::1] Q, const Py_ssize_t[::1] labels, const floating[::1] weights, double rho,
                       floating[:, ::1] O_plus_out, floating[:, ::1] lambda3_out):
    """Softmax cross-entropy, R(o) = log sum exp(o) - o[label].  Returns the loss and the number of right answers."""
    cdef Py_ssize_t B = Q.shape[0], K = Q.shape[1], n_correct = 0
    cdef double loss
    cdef Targets targets
    if labels.shape[0] != B or weights.shape[0] != B or O_plus_out.shape[0] != B or O_plus_out.shape[1] != K \
            or lambda3_out.shape[0] != B or lambda3_out.shape[1] != K:
        raise ValueError("cross_entropy_step: the shapes do not belong together")
    check_labels("cross_entropy_step", labels, K)
    targets.K, targets.rho, targets.labels, targets.values = K, rho, &labels[0], NULL
    targets.weights, targets.O_plus, targets.lambda3 = &weights[0], &O_plus_out[0, 0], &lambda3_out[0, 0]
    cdef double* scratch = <double*> malloc(6 * K * sizeof(double))
    if scratch == NULL:
        raise MemoryError
    with nogil:
        loss = o_step[floating](&targets, 0, B, &n_correct, scratch, &Q[0, 0])
    free(scratch)
    return loss / total_weight(weights), n_correct


def squared_error_step(const floating[:, ::1] Q, const floating[:, ::1] targets, const floating[::1] weights, double rho,
                       floating[:, ::1] O_plus_out, floating[:, ::1] lambda3_out):
    """Squared error, R(o) = 1/2 |o - y|^2: o+ = (y + rho q) / (1 + rho).  Returns the loss."""
    cdef Py_ssize_t B = Q.shape[0], K = Q.shape[1]
    cdef double loss
    cdef Targets of_rows
    if targets.shape[0] != B or targets.shape[1] != K or weights.shape[0] != B or O_plus_out.shape[0] != B \
            or O_plus_out.shape[1] != K or lambda3_out.shape[0] != B or lambda3_out.shape[1] != K:
        raise ValueError("squared_error_step: the shapes do not belong together")
    of_rows.K, of_rows.rho, of_rows.labels, of_rows.values = K, rho, NULL, &targets[0, 0]
    of_rows.weights, of_rows.O_plus, of_rows.lambda3 = &weights[0], &O_plus_out[0, 0], &lambda3_out[0, 0]
    with nogil:
        loss = o_step[floating](&of_rows, 0, B, NULL, NULL, &Q[0, 0])
    return loss / total_weight(weights)
