"""The a-step: argmin_a r/2 (a - alpha)^2 + penalty/2 (target - f(a))^2 for every entry, the global minimiser.

relu, leaky relu and the identity have a closed form.  For tanh, let T = tanh(a), ratio = penalty / r and divide
by r; a stationary point is a root of

    h(a) = a - alpha - ratio phi(a),      phi(a) = (target - T) (1 - T^2),
    h'(a) = 1 - ratio (1 - T^2) (3 T^2 - 2 target T - 1),

and all of them lie between alpha and where tanh(a) meets the target.  Where ratio (1/3 + 0.77 |target|) < 1, h
increases everywhere: one root, found by a vectorised Newton iteration with a bracket.  Elsewhere phi is, along the way
from alpha to the target, first convex, then concave, then convex, so that there are at most three roots, and a minimum
can only be the first or the last of them.  The bends are roots of the cubic 6 T^3 - 3 target T^2 - 4 T + target;
between them Newton's method runs to the first and to the last root without ever overshooting, and the lower minimum is
taken.

As sigmoid(a) = 1/2 + 1/2 tanh(a/2), that of sigmoid is twice the minimiser for tanh with alpha/2, 2 target - 1 and
ratio/16 in their places: a - alpha becomes twice as small, target - f(a) twice as large.
"""

from cython cimport floating
from libc.math cimport INFINITY, atanh, exp, fabs, isfinite, tanh

from admmirnn._kernels._activations cimport SIGMOID, TANH, Activation, leak_of, named
from admmirnn._kernels._arrays cimport misfit
from admmirnn._kernels._simd cimport unimodal_tanh_step

cdef int MOST_NEWTON_STEPS = 500                 # one for each half unit of a on an exponential tail

cdef enum:
    CHUNK = 64                                   # what unimodal_tanh_step takes


cdef struct Scalar:                              # one entry, mirrored so that the target lies above tanh(alpha)
    double alpha, target, ratio


cdef inline double slope_of(double a) noexcept nogil:
    """1 - tanh(a)^2, accurate in the tails."""
    cdef double e = exp(-2 * fabs(a))
    return 4 * e / ((1 + e) * (1 + e))


cdef inline double h(const Scalar* at, double a, double* derivative) noexcept nogil:
    cdef double T = tanh(a), slope = slope_of(a)
    derivative[0] = 1 - at.ratio * slope * (3 * T * T - 2 * at.target * T - 1)
    return a - at.alpha - at.ratio * (at.target - T) * slope


cdef double newton(const Scalar* at, double a, double low, bint* found) noexcept nogil:
    """Newton's method on h, as long as h increases and a is not below ``low``; the last point, and if it is a root."""
    cdef double value, derivative, step
    cdef int _
    found[0] = False
    for _ in range(MOST_NEWTON_STEPS):
        value = h(at, a, &derivative)
        if not derivative > 0:
            return a
        step = value / derivative
        a -= step
        if not a >= low:
            return low
        if fabs(step) <= 1e-15 * (1 + fabs(a)):
            break
    found[0] = True
    return a


cdef double bend(double target, double T) noexcept nogil:
    """The root of 6 T^3 - 3 target T^2 - 4 T + target that Newton's method runs to from T."""
    cdef double value, step
    cdef int _
    for _ in range(100):
        value = ((6 * T - 3 * target) * T - 4) * T + target
        step = value / ((18 * T - 6 * target) * T - 4)
        T -= step
        if fabs(step) <= 1e-14:
            break
    return T


cdef double two_sided(const Scalar* at) noexcept nogil:
    """The global minimiser where h may have three roots."""
    cdef double T_alpha = tanh(at.alpha), target = at.target, far, first_bend, second_bend, T_bend, derivative
    cdef double left, right, gain, T_left, T_right
    cdef bint left_found = False, right_found
    if target == T_alpha:
        return at.alpha
    far = at.alpha + at.ratio * (target - T_alpha)                   # phi <= target - tanh(alpha) up there
    if target < 1:
        far = min(far, max(at.alpha, atanh(target)))
    T_bend = bend(target, -1.0)
    first_bend = atanh(T_bend) if T_bend > -1 else -INFINITY
    second_bend = far
    if target > 0:
        T_bend = bend(target, 1.0 if target > 6 else target / 6)
        if T_bend < 1:
            second_bend = min(far, atanh(T_bend))
    if at.alpha < first_bend:
        left = newton(at, at.alpha, -INFINITY, &left_found)          # concave there: never past the root
        left_found = left_found and left <= first_bend
        if left_found and far <= first_bend:
            return left
    if at.alpha >= second_bend:
        return newton(at, at.alpha, -INFINITY, &right_found)         # concave as well
    if h(at, second_bend, &derivative) < 0:
        right = newton(at, second_bend, -INFINITY, &right_found)
    else:
        right = newton(at, second_bend, max(at.alpha, first_bend), &right_found)  # convex: never past the root
    if not left_found:
        return right
    if not right_found:
        return left
    # 2/r times the difference of the two objectives, without squares that overflow
    T_left, T_right = tanh(left), tanh(right)
    gain = ((left - right) * (left + right - 2 * at.alpha)
            + at.ratio * (T_right - T_left) * (2 * target - T_left - T_right))
    return right if gain >= 0 else left


cdef double tanh_step(double alpha, double target, double ratio) noexcept nogil:
    cdef Scalar at
    cdef double sign = 1 if target >= tanh(alpha) else -1
    if not (isfinite(alpha) and isfinite(target)):
        return alpha + target                                        # a run that diverges must not be slow as well
    at.alpha, at.target, at.ratio = sign * alpha, sign * target, ratio
    return sign * two_sided(&at)


cdef void tanh_steps(double ratio, const floating* alpha, const floating* target, Py_ssize_t count,
                     floating* a) noexcept nogil:
    """For tanh, at most CHUNK entries."""
    cdef Py_ssize_t j
    cdef int others
    unimodal_tanh_step(alpha, target, count, <floating> ratio, a, &others)
    if others > 0:
        for j in range(count):
            if not ratio * (0.334 + 0.77 * fabs(target[j])) < 0.989:     # others was counted with rounding
                a[j] = <floating> tanh_step(alpha[j], target[j], ratio)


cdef void sigmoid_steps(double ratio, const floating* alpha, const floating* target, Py_ssize_t count,
                        floating* a) noexcept nogil:
    """Likewise, by those of tanh."""
    cdef floating[CHUNK] half_alpha, moved_target
    cdef Py_ssize_t j
    cdef int others
    ratio /= 16
    for j in range(count):
        half_alpha[j] = alpha[j] / 2
        moved_target[j] = 2 * target[j] - 1
    unimodal_tanh_step(half_alpha, moved_target, count, <floating> ratio, a, &others)
    for j in range(count):
        if others > 0 and not ratio * (0.334 + 0.77 * fabs(moved_target[j])) < 0.989:
            a[j] = <floating> (2 * tanh_step(<double> alpha[j] / 2, 2 * <double> target[j] - 1, ratio))
        else:
            a[j] *= 2


cdef inline double relu_step(double alpha, double target, double r, double penalty, double leak) noexcept nogil:
    """The better of the minimisers on both sides of zero."""
    cdef double scale = max(fabs(alpha), fabs(target)), ratio = penalty / r, above, below
    if scale == 0:
        return 0
    alpha /= scale                                                   # the problem is homogeneous
    target /= scale
    above = (r * alpha + penalty * target) / (r + penalty)
    above = above if above > 0 else 0
    below = (alpha + leak * ratio * target) / (1 + leak * leak * ratio)
    below = below if below < 0 else 0
    if r * (above - alpha) ** 2 + penalty * (target - above) ** 2 \
            <= r * (below - alpha) ** 2 + penalty * (target - leak * below) ** 2:
        return above * scale
    return below * scale


cdef void proximal_activation(Activation f, double r, double penalty, const floating* alpha, const floating* target,
                              Py_ssize_t count, floating* a) noexcept nogil:
    """a = argmin r/2 (a - alpha)^2 + penalty/2 (target - f(a))^2, entry by entry; ``a`` may not overlap the others."""
    cdef Py_ssize_t first = 0, some, j
    cdef double ratio = penalty / r, leak = leak_of(f)
    if f == TANH or f == SIGMOID:
        while first < count:
            some = min(CHUNK, count - first)
            if f == TANH:
                tanh_steps(ratio, alpha + first, target + first, some, a + first)
            else:
                sigmoid_steps(ratio, alpha + first, target + first, some, a + first)
            first += some
    else:
        for j in range(count):
            a[j] = <floating> relu_step(alpha[j], target[j], r, penalty, leak)


def a_step(const floating[:, ::1] alpha, const floating[:, ::1] target, double r, double penalty, str activation,
           floating[:, ::1] a_out):
    """a = argmin_a r/2 (a - alpha)^2 + penalty/2 (target - f(a))^2, the global minimiser of every entry."""
    cdef Activation f = named(activation)
    cdef Py_ssize_t rows = alpha.shape[0], columns = alpha.shape[1]
    if target.shape[0] != rows or target.shape[1] != columns or a_out.shape[0] != rows or a_out.shape[1] != columns:
        raise misfit("a_step", [("target", target, (rows, columns)), ("a_out", a_out, (rows, columns))], "")
    if rows and columns:
        with nogil:
            proximal_activation(f, r, penalty, &alpha[0, 0], &target[0, 0], rows * columns, &a_out[0, 0])
