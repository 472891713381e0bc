"""Algorithm 1 of the paper: the block updates o, c, V, s, a, b, W, U at a cost that does not grow with the steps.

Every update of c, V, b, W, U sums over all steps, although only one (a_t, s_t, o_t) has changed since the last one.
Both weight matrices are a linear *layer*: rows of ``inputs`` (z_t = [x_t, s_{t-1}, 1] or h_t = [s_t, 1]) are mapped
to rows of ``targets`` (a_t or o_t), with a penalty omega_t on the square of

    residual_t = target_t - weights @ input_t +- multiplier / rho        (the last term at the last step only).

A layer is kept current in one of two ways, whichever is cheaper:

* **gram**, for many rows: gradient = sum omega_t input_t residual_t^T (m, p) and gram = sum omega_t input_t
  input_t^T (m, m).  A weight step D changes gradient by -gram @ D, a change of one step's rows changes both by
  products with as many rows as sequences are running.  When these are not few, only that part of gradient is changed
  at once which a change of inputs makes without the weights, change_t^T target_t; what it makes of gram is kept apart
  as ``change`` until the next weight step, and then gradient changes by -change @ weights.T.  All of this is zero where
  nothing moves: residuals of zero, as a roll-out leaves them, stay zero.
* **dual**, for few rows: the residuals of all rows and the kernels x_i . x_j and s_i . s_j.  A gradient step adds
  input^T @ step to the weights and changes the residuals by -kernel @ step; the sum of the steps of a row stays
  *pending* until that row's input changes.

Rows stand as ``_kernels/__init__.py`` describes; the rows of the last step are the last B ones.
"""

from cython cimport floating
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from admmirnn._kernels._activations cimport Activation, activate, named
from admmirnn._kernels._arrays cimport misfit
from admmirnn._kernels._blas cimport add_products, gemm, multiply_rows
from admmirnn._kernels._layout cimport MOST, fits, transpose
from admmirnn._kernels._simd cimport add_scaled
from admmirnn._kernels._sweep_simd cimport ENOUGH_LANES, LANES, add_symmetric, add_to_rows, softmax_prox, state_change
from admmirnn._kernels.hidden cimport proximal_activation
from admmirnn._kernels.output cimport prox_row, relative_softmax, room_of_o_step

cdef Py_ssize_t ROWS_AT_A_TIME = 512             # of which residuals are computed when the gram way starts
cdef Py_ssize_t FEW_SEQUENCES = 6               # of which this many times fewer than m change gradient at once
cdef Py_ssize_t BAND = 48                        # of a gram matrix, of which the part up to its diagonal is computed
cdef double FEW_ROWS = 0.55                     # dual if rows^2 < FEW_ROWS m (m - 1): equally fast at 0.5 to 0.6


cdef enum Penalty:
    NONE
    RIDGE
    LASSO


cdef struct FloatLayer:
    float* inputs                                # (rows, m)
    float* targets                               # (rows, p)
    float* weights                               # (p, m)
    float* multipliers                           # (B, p)
    float* state_multipliers                     # (B, n), lambda2
    float* row_weights                           # (rows,) of the loss
    float* values                                # (rows, p) of the squared error
    float* transposed                            # (m, p) weights during the sweep
    float* residual                              # (rows, p), or of some rows
    float* gradient                              # (m, p)
    float* gram                                  # (m, m)
    float* change                                # (m, m), to be added to gram
    float* product                               # (m, n), of inputs and their change
    float* kernel_x                              # (rows, rows)
    float* kernel_s                              # (rows, rows)
    float* pending_x                             # (rows, p)
    float* pending_s                             # (rows, p)
    float* step                                  # of a gradient step
    float* products                              # (B, rows)
    float* delta                                 # (B, p)
    float* goal                                  # (B, p)
    Py_ssize_t rows, B, m, p, d, n
    double nu, rho, total, sign, rate, shrinkage
    bint dual, changed
    Penalty penalty


cdef struct DoubleLayer:
    double* inputs
    double* targets
    double* weights
    double* multipliers
    double* state_multipliers
    double* row_weights
    double* values
    double* transposed
    double* residual
    double* gradient
    double* gram
    double* change
    double* product
    double* kernel_x
    double* kernel_s
    double* pending_x
    double* pending_s
    double* step
    double* products
    double* delta
    double* goal
    Py_ssize_t rows, B, m, p, d, n
    double nu, rho, total, sign, rate, shrinkage
    bint dual, changed
    Penalty penalty


ctypedef fused Layer:
    FloatLayer
    DoubleLayer


cdef struct Settings:
    double nu, rho2, r
    Activation f
    bint derived, linearised, linear, coupled, cross_entropy
    double tolerance
    const Py_ssize_t* offsets
    const Py_ssize_t* labels
    Py_ssize_t N
    double* o_scratch                            # room_of_o_step(K)


# A layer


cdef inline double omega(Layer* layer, Py_ssize_t row) noexcept nogil:
    return layer.rho if row >= layer.rows - layer.B else layer.nu


cdef void subtract_outputs(Layer* layer, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """residual[:count] = targets - inputs @ weights.T +- multipliers / rho, of the rows from ``first`` on."""
    cdef Py_ssize_t last = layer.rows - layer.B, i, j, p = layer.p
    cdef double share = layer.sign / layer.rho
    memcpy(layer.residual, layer.targets + first * p, count * p * sizeof(layer.residual[0]))
    # residual -= inputs @ transposed
    multiply_rows(count, p, layer.m, -1, layer.inputs + first * layer.m, layer.m, layer.transposed, p,
                  1, layer.residual, p)
    for i in range(max(first, last), first + count):
        for j in range(p):
            layer.residual[(i - first) * p + j] += share * layer.multipliers[(i - last) * p + j]


cdef Py_ssize_t residual_at(Layer* layer, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """Make the residuals of these rows current; where they start in ``residual``."""
    if layer.dual:
        return first * layer.p
    subtract_outputs(layer, first, count)
    return 0


cdef void add_rows(Layer* layer, Py_ssize_t first, Py_ssize_t stop, double weight) noexcept nogil:
    """gradient += weight * inputs.T @ residual and gram += weight * inputs.T @ inputs up to its diagonal."""
    cdef Py_ssize_t m = layer.m, p = layer.p, top, count = ROWS_AT_A_TIME
    while first < stop:
        count = min(ROWS_AT_A_TIME, stop - first)
        subtract_outputs(layer, first, count)
        add_products(count, m, p, weight, layer.inputs + first * m, m, layer.residual, p, layer.gradient, p)
        top = 0
        while top < m:
            # gram[top:top + BAND, :top + BAND] += weight * inputs[:, top:top + BAND].T @ inputs[:, :top + BAND]
            add_products(count, min(BAND, m - top), min(m, top + BAND), weight, layer.inputs + first * m + top, m,
                         layer.inputs + first * m, m, layer.gram + top * m, m)
            top += BAND
        first += count


cdef void load(Layer* layer) noexcept nogil:
    """Everything that the steps keep current, from the variables as they are."""
    cdef Py_ssize_t rows = layer.rows, m = layer.m, p = layer.p, d = layer.d, n = layer.n, last = rows - layer.B, i, j
    transpose(p, m, layer.weights, m, layer.transposed, p)
    if layer.dual:
        subtract_outputs(layer, 0, rows)
        # kernel_s = S @ S.T, kernel_x = X @ X.T
        gemm(False, True, rows, rows, n, 1, layer.inputs + d, m, layer.inputs + d, m, 0, layer.kernel_s, rows)
        memset(layer.pending_s, 0, rows * p * sizeof(layer.pending_s[0]))
        if d:
            gemm(False, True, rows, rows, d, 1, layer.inputs, m, layer.inputs, m, 0, layer.kernel_x, rows)
            memset(layer.pending_x, 0, rows * p * sizeof(layer.pending_x[0]))
        return
    memset(layer.gradient, 0, m * p * sizeof(layer.gradient[0]))
    memset(layer.gram, 0, m * m * sizeof(layer.gram[0]))
    memset(layer.change, 0, m * m * sizeof(layer.change[0]))
    layer.changed = False
    add_rows(layer, 0, last, layer.nu)
    add_rows(layer, last, rows, layer.rho)
    for i in range(m):
        for j in range(i):
            layer.gram[j * m + i] = layer.gram[i * m + j]


cdef void unload(Layer* layer) noexcept nogil:
    """The weights, pending steps included."""
    cdef Py_ssize_t m = layer.m, p = layer.p, rows = layer.rows
    if layer.dual:
        # transposed[s] += S.T @ pending_s, and likewise x
        gemm(True, False, layer.n, p, rows, 1, layer.inputs + layer.d, m, layer.pending_s, p,
             1, layer.transposed + layer.d * p, p)
        if layer.d:
            gemm(True, False, layer.d, p, rows, 1, layer.inputs, m, layer.pending_x, p, 1, layer.transposed, p)
    transpose(m, p, layer.transposed, p, layer.weights, m)


cdef void change_targets(Layer* layer, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """Add ``delta`` to the targets of these rows."""
    cdef Py_ssize_t p = layer.p
    add_to_rows(1, count * p, 1, layer.delta, layer.targets + first * p, count * p)
    if layer.dual:
        add_to_rows(1, count * p, 1, layer.delta, layer.residual + first * p, count * p)
    else:
        # gradient += omega * inputs.T @ delta
        add_products(count, layer.m, p, omega(layer, first), layer.inputs + first * layer.m, layer.m,
                     layer.delta, p, layer.gradient, p)


cdef void add_to_states(Layer* layer, Py_ssize_t first, Py_ssize_t count, Layer* source, double share) noexcept nogil:
    """inputs[s] += share * source.goal, of these rows."""
    add_to_rows(count, layer.n, share, source.goal, layer.inputs + first * layer.m + layer.d, layer.m)


cdef void copy_states(Layer* layer, Py_ssize_t first, Py_ssize_t count, Layer* source,
                      Py_ssize_t from_row) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        memcpy(layer.inputs + (first + i) * layer.m + layer.d, source.inputs + (from_row + i) * source.m + source.d,
               layer.n * sizeof(layer.inputs[0]))


cdef void change_states_dual(Layer* layer, Py_ssize_t first, Py_ssize_t count, Layer* source) noexcept nogil:
    """Add ``source.goal`` (count, n) to the states among the inputs of these rows."""
    cdef Py_ssize_t rows = layer.rows, m = layer.m, p = layer.p, d = layer.d, n = layer.n, i, j
    # transposed[s] += S[rows].T @ pending_s[rows]
    gemm(True, False, n, p, count, 1, layer.inputs + first * m + d, m, layer.pending_s + first * p, p,
         1, layer.transposed + d * p, p)
    memset(layer.pending_s + first * p, 0, count * p * sizeof(layer.pending_s[0]))
    # residual[rows] -= change @ transposed[s] + (change @ S.T) @ pending_s
    gemm(False, False, count, p, n, -1, source.goal, n, layer.transposed + d * p, p, 1, layer.residual + first * p, p)
    gemm(False, True, count, rows, n, 1, source.goal, n, layer.inputs + d, m, 0, layer.products, rows)
    gemm(False, False, count, p, rows, -1, layer.products, rows, layer.pending_s, p, 1, layer.residual + first * p, p)
    add_to_states(layer, first, count, source, 1)
    # kernel_s[rows] = S[rows] @ S.T
    gemm(False, True, count, rows, n, 1, layer.inputs + first * m + d, m, layer.inputs + d, m,
         0, layer.kernel_s + first * rows, rows)
    for j in range(rows):
        for i in range(first, first + count):
            layer.kernel_s[j * rows + i] = layer.kernel_s[i * rows + j]


cdef void move_states(Layer* layer, Py_ssize_t first, Py_ssize_t count, Layer* source, Layer* other,
                      Py_ssize_t other_first) noexcept nogil:
    """product = inputs.T @ change with the states half way along ``source.goal``; then those that ``other`` has.

    new.T @ new - old.T @ old is this product plus its transpose.
    """
    add_to_states(layer, first, count, source, 0.5)
    memset(layer.product, 0, layer.m * layer.n * sizeof(layer.product[0]))
    add_products(count, layer.m, layer.n, 1, layer.inputs + first * layer.m, layer.m, source.goal, layer.n,
                 layer.product, layer.n)
    copy_states(layer, first, count, other, other_first)


cdef void change_statistics(Layer* layer, Py_ssize_t first, Py_ssize_t count, Layer* source) noexcept nogil:
    """What the move of the states by ``source.goal`` makes of gradient and gram, now that it has been made."""
    cdef Py_ssize_t m = layer.m, n = layer.n, p = layer.p, d = layer.d, last = layer.rows - layer.B
    cdef double weight = omega(layer, first)
    if FEW_SEQUENCES * count < m:
        # residual, of before = targets - inputs @ transposed + moved, moved = change @ transposed[s]
        subtract_outputs(layer, first, count)
        gemm(False, False, count, p, n, 1, source.goal, n, layer.transposed + d * p, p, 0, layer.delta, p)
        add_to_rows(1, count * p, 1, layer.delta, layer.residual, count * p)
        # gradient[s] += weight * change.T @ residual, gradient -= weight * inputs.T @ moved
        gemm(True, False, n, p, count, weight, source.goal, n, layer.residual, p, 1, layer.gradient + d * p, p)
        gemm(True, False, m, p, count, -weight, layer.inputs + first * m, m, layer.delta, p, 1, layer.gradient, p)
        # gram[:, s] += weight * product, gram[s] += weight * product.T
        add_symmetric(d, n, weight, layer.product, layer.gram)
        return
    # gradient[s] += weight * change.T @ targets
    add_products(count, n, p, weight, source.goal, n, layer.targets + first * p, p, layer.gradient + d * p, p)
    if first >= last:
        # gradient[s] += +- change.T @ multipliers
        add_products(count, n, p, layer.sign, source.goal, n, layer.multipliers + (first - last) * p, p,
                     layer.gradient + d * p, p)
    # change[:, s] += weight * product, change[s] += weight * product.T
    add_symmetric(d, n, weight, layer.product, layer.change)
    layer.changed = True


cdef void apply_change(Layer* layer) noexcept nogil:
    """gradient -= change @ weights.T, gram += change, change = 0."""
    cdef Py_ssize_t m = layer.m, p = layer.p
    if not layer.changed:
        return
    # gradient -= change @ transposed
    multiply_rows(m, p, m, -1, layer.change, m, layer.transposed, p, 1, layer.gradient, p)
    add_to_rows(1, m * m, 1, layer.change, layer.gram, m * m)
    memset(layer.change, 0, m * m * sizeof(layer.change[0]))
    layer.changed = False


cdef void change_states(Layer* hidden, Layer* output, Py_ssize_t first, Py_ssize_t count, bint final) noexcept nogil:
    """Add ``hidden.goal`` (count, n) to s_t: inputs of the output layer at t, and of the hidden layer at t + 1.

    One product serves the gram matrices of both.
    """
    cdef Py_ssize_t following = first + count
    if hidden.dual or final:
        if final:
            add_to_states(hidden, following, count, hidden, 1)     # the block that a roll-out reads
        else:
            change_states_dual(hidden, following, count, hidden)
        if not output.dual:
            move_states(output, first, count, hidden, hidden, following)
    elif not output.dual:
        add_to_states(output, first, count, hidden, 1)
    if output.dual:
        change_states_dual(output, first, count, hidden)
    if not (hidden.dual or final):
        move_states(hidden, following, count, hidden, output, first)
        change_statistics(hidden, following, count, hidden)
    if not output.dual:
        change_statistics(output, first, count, hidden)


cdef void back_project(Layer* layer, Py_ssize_t first, Py_ssize_t count, double weight, double keep,
                       Layer* sink) noexcept nogil:
    """sink.goal = weight * residual @ weights[s] + keep * sink.goal, of these rows: V^T e_t or W^T p_{t+1}."""
    cdef Py_ssize_t m = layer.m, p = layer.p, n = layer.n, rows = layer.rows
    cdef Py_ssize_t start = residual_at(layer, first, count)
    # goal = weight * residual @ transposed[s].T + keep * goal
    gemm(False, True, count, n, p, weight, layer.residual + start, p, layer.transposed + layer.d * p, p,
         keep, sink.goal, n)
    if layer.dual:
        # goal += weight * (residual @ pending_s.T) @ S
        gemm(False, True, count, rows, p, weight, layer.residual + start, p, layer.pending_s, p, 0, layer.products,
             rows)
        gemm(False, False, count, n, rows, 1, layer.products, rows, layer.inputs + layer.d, m, 1, sink.goal, n)


cdef double proximal(double value, double shrinkage, Penalty penalty) noexcept nogil:
    """prox of Omega, ``shrinkage`` being its weight over that of the proximal term."""
    if penalty == RIDGE:
        return value / (1 + shrinkage)
    if penalty == LASSO:
        return value - shrinkage if value > shrinkage else value + shrinkage if value < -shrinkage else 0
    return value


cdef void gradient_step(Layer* layer, Py_ssize_t column, Py_ssize_t count, bint penalised) noexcept nogil:
    """weights[:, column:column + count] += rate * sum omega residual input^T, then the prox of Omega."""
    cdef Py_ssize_t rows = layer.rows, m = layer.m, p = layer.p, i
    cdef double moved
    cdef bint of_x = column < layer.d
    if layer.dual:
        # step = rate * omega * residual, pending += step
        for i in range(rows):
            add_scaled(p, layer.rate * omega(layer, i), layer.residual + i * p, layer.step + i * p,
                       (layer.pending_x if of_x else layer.pending_s) + i * p)
        # residual -= kernel @ step
        gemm(False, False, rows, p, rows, -1, layer.kernel_x if of_x else layer.kernel_s, rows, layer.step, p,
             1, layer.residual, p)
        return
    apply_change(layer)
    # step = rate * gradient[columns], transposed[columns] += step
    add_scaled(count * p, layer.rate, layer.gradient + column * p, layer.step, layer.transposed + column * p)
    if penalised and layer.penalty != NONE:
        for i in range(count * p):
            moved = layer.transposed[column * p + i]
            layer.transposed[column * p + i] = proximal(moved, layer.shrinkage, layer.penalty)
            layer.step[i] += layer.transposed[column * p + i] - moved
    # gradient -= gram[:, columns] @ step
    multiply_rows(m, p, count, -1, layer.gram + column, m, layer.step, p, 1, layer.gradient, p)


cdef void offset_step(Layer* layer) noexcept nogil:
    """b or c by exact minimisation: offset += sum omega residual / sum omega."""
    cdef Py_ssize_t rows = layer.rows, m = layer.m, p = layer.p, i, j
    cdef double weight
    if layer.dual:
        memset(layer.step, 0, p * sizeof(layer.step[0]))
        for i in range(rows):
            weight = omega(layer, i) / layer.total
            for j in range(p):
                layer.step[j] += weight * layer.residual[i * p + j]
        for i in range(rows):
            for j in range(p):
                layer.residual[i * p + j] -= layer.step[j]
    else:
        apply_change(layer)
        for j in range(p):
            layer.step[j] = layer.gradient[(m - 1) * p + j] / layer.total
        # gradient -= np.outer(gram[:, -1], step)
        gemm(False, False, m, p, 1, -1, layer.gram + m - 1, m, layer.step, p, 1, layer.gradient, p)
    for j in range(p):
        layer.transposed[(m - 1) * p + j] += layer.step[j]


# The blocks, at step t


cdef void move_output(Layer* output, Py_ssize_t first, Py_ssize_t i, const double* q, const double* u,
                      Py_ssize_t stride) noexcept nogil:
    """delta = q + u - targets, of row ``i`` from ``first`` on."""
    cdef Py_ssize_t j, K = output.p
    for j in range(K):
        output.delta[i * K + j] = q[j * stride] + u[j * stride] - output.targets[(first + i) * K + j]


cdef void prox_rows(Settings* at, Layer* output, Py_ssize_t first, const Py_ssize_t* which, Py_ssize_t count, double* q,
                    double* rho) noexcept nogil:
    """The proximal o-step of up to LANES rows, which stand next to each other in q (K, LANES)."""
    cdef Py_ssize_t K = output.p, i, j, lane, row
    cdef double *y = q + K * LANES
    cdef double *u = y + K * LANES
    cdef double *p = u + K * LANES
    cdef double *alone = at.o_scratch
    cdef double[LANES] error
    for lane in range(LANES):
        i = lane if lane < count else 0                     # lanes that are left over repeat the first
        rho[lane] = rho[i]
        row = first + which[i]
        for j in range(K):
            q[j * LANES + lane] = q[j * LANES + i]
            u[j * LANES + lane] = output.targets[row * K + j] - q[j * LANES + i]    # o_t moves little between two times
            y[j * LANES + lane] = j == at.labels[row]
    if count >= ENOUGH_LANES:
        softmax_prox(K, q, y, rho, at.tolerance, u, p, error)
    for lane in range(count):
        if count >= ENOUGH_LANES and error[lane] <= at.tolerance:
            move_output(output, first, which[lane], q + lane, u + lane, LANES)
            continue
        row = first + which[lane]
        for j in range(K):
            alone[j] = q[j * LANES + lane]
            alone[K + j] = output.targets[row * K + j] - alone[j]
        prox_row(K, alone, at.labels[row], rho[lane], at.tolerance, alone + K, alone + 2 * K, alone + 3 * K,
                 alone + 4 * K, alone + 5 * K)
        move_output(output, first, which[lane], alone, alone + K, 1)


cdef void o_step(Settings* at, Layer* output, Py_ssize_t t) noexcept nogil:
    """o_t = prox of R at q_t, or q_t - grad R(q_t) / omega; at t = N with q_N -+ lambda3 / rho3 for q_N."""
    cdef Py_ssize_t first = at.offsets[t], count = at.offsets[t + 1] - first, K = output.p
    cdef Py_ssize_t start = residual_at(output, first, count), i, j, row, label, lane = 0
    cdef double weight = omega(output, first), loss_weight, centre
    cdef double *q = at.o_scratch
    cdef double *u = q + K
    cdef double *probability = u + K
    cdef double *lanes = q + 6 * K
    cdef double[LANES] rho
    cdef Py_ssize_t[LANES] which
    for i in range(count):
        row = first + i
        loss_weight = output.row_weights[row]
        label = at.labels[row] if at.cross_entropy else 0
        if loss_weight != 0 and at.cross_entropy and not at.linearised:
            if lane == LANES:
                prox_rows(at, output, first, which, lane, lanes, rho)
                lane = 0
            which[lane] = i
            rho[lane] = weight / loss_weight
            for j in range(K):
                lanes[j * LANES + lane] = output.targets[row * K + j] - <double> output.residual[start + i * K + j]
            lane += 1
            continue
        for j in range(K):
            q[j] = output.targets[row * K + j] - <double> output.residual[start + i * K + j]
        if loss_weight == 0:
            memset(u, 0, K * sizeof(double))
        elif at.cross_entropy:
            relative_softmax(K, q, label, probability)
            for j in range(K):
                u[j] = loss_weight / weight * ((1 if j == label else 0) - probability[j])
        else:
            centre = weight / loss_weight
            centre = 1 / centre if at.linearised else 1 / (1 + centre)
            for j in range(K):
                u[j] = centre * (output.values[row * K + j] - q[j])
        move_output(output, first, i, q, u, 1)
    if lane > 0:
        prox_rows(at, output, first, which, lane, lanes, rho)
    change_targets(output, first, count)


cdef void s_step(Settings* at, Layer* hidden, Layer* output, Py_ssize_t t) noexcept nogil:
    """s_t = [r s_t + omega f(a_t) - lambda2 + V^T e (+ W^T p)] / (r + omega).

    Here e = omega3 e_t + lambda3, and p = omega1 p_{t+1} + lambda1.
    """
    cdef Py_ssize_t first = at.offsets[t], count = at.offsets[t + 1] - first, n = hidden.n, i
    cdef Py_ssize_t following = at.offsets[t + 1]
    cdef bint final = t == at.N - 1
    cdef double omega2 = at.rho2 if final else at.nu
    back_project(output, first, count, output.sign * omega(output, first), 0, hidden)
    if at.coupled and not final:
        back_project(hidden, following, count, hidden.sign * omega(hidden, following), 1, hidden)
    memcpy(hidden.delta, hidden.targets + first * n, count * n * sizeof(hidden.delta[0]))
    activate(at.f, hidden.delta, count, n, n)
    if final and not at.derived:
        for i in range(count * n):                          # Eq. (14) as printed has no term in s_N - f(a_N)
            hidden.goal[i] /= at.r
    else:
        if final:
            for i in range(count * n):
                hidden.goal[i] -= hidden.state_multipliers[i]
        # goal = s_new - s_old
        state_change(count, n, omega2, 1 / (at.r + omega2), hidden.delta, output.inputs + first * (n + 1), n + 1,
                     hidden.goal)
    change_states(hidden, output, first, count, final)


cdef void a_step(Settings* at, Layer* hidden, Layer* output, Py_ssize_t t) noexcept nogil:
    """a_t = argmin r/2 (a - alpha)^2 + omega/2 (s_t +- lambda2/rho2 - f(a))^2.

    Here alpha = a_t - (omega1 p_t + lambda1) / r.
    """
    cdef Py_ssize_t first = at.offsets[t], count = at.offsets[t + 1] - first, n = hidden.n, i
    cdef Py_ssize_t start = residual_at(hidden, first, count)
    cdef bint final = t == at.N - 1
    cdef double omega2 = at.rho2 if final else at.nu
    memcpy(hidden.step, hidden.targets + first * n, count * n * sizeof(hidden.step[0]))
    # step = alpha
    add_to_rows(1, count * n, -omega(hidden, first) / at.r, hidden.residual + start, hidden.step, count * n)
    for i in range(count):
        memcpy(hidden.goal + i * n, output.inputs + (first + i) * (n + 1), n * sizeof(hidden.goal[0]))
    if final:
        for i in range(count * n):
            hidden.goal[i] += hidden.sign / at.rho2 * hidden.state_multipliers[i]
    if at.linear:                                           # the paper's f(a) = a
        for i in range(count * n):
            hidden.delta[i] = (at.r * hidden.step[i] + omega2 * hidden.goal[i]) / (at.r + omega2)
    else:
        proximal_activation(at.f, at.r, omega2, hidden.step, hidden.goal, count * n, hidden.delta)
    for i in range(count * n):
        hidden.delta[i] -= hidden.targets[first * n + i]
    change_targets(hidden, first, count)


cdef void run(Settings* at, Layer* hidden, Layer* output, const unsigned char[::1] blocks, Py_ssize_t first,
              Py_ssize_t last) noexcept nogil:
    """The blocks, in this order, at every step from ``first`` to before ``last``."""
    cdef Py_ssize_t t, i
    load(hidden)
    load(output)
    if not (hidden.dual or output.dual):
        output.product = hidden.product + hidden.d * hidden.n
    for t in range(first, last):
        for i in range(blocks.shape[0]):
            if blocks[i] == c"o":
                o_step(at, output, t)
            elif blocks[i] == c"c":
                offset_step(output)
            elif blocks[i] == c"V":
                gradient_step(output, 0, output.n, False)
            elif blocks[i] == c"s":
                s_step(at, hidden, output, t)
            elif blocks[i] == c"a":
                a_step(at, hidden, output, t)
            elif blocks[i] == c"b":
                offset_step(hidden)
            elif blocks[i] == c"W":
                gradient_step(hidden, hidden.d, hidden.n, True)
            elif blocks[i] == c"U":
                gradient_step(hidden, 0, hidden.d, False)
    unload(hidden)
    unload(output)


# Setting out


cdef bint few(Py_ssize_t rows, Py_ssize_t m, bint penalised) noexcept nogil:
    """Whether the dual way is cheaper; the prox of Omega needs the weights themselves, and so the other one."""
    return not penalised and <double> rows * rows < FEW_ROWS * m * (m - 1)


cdef Py_ssize_t room_of_layer(Py_ssize_t rows, Py_ssize_t B, Py_ssize_t d, Py_ssize_t n, Py_ssize_t p,
                              bint penalised) noexcept nogil:
    cdef Py_ssize_t m = d + n + 1
    cdef Py_ssize_t room = m * p + 2 * B * max(p, n)                  # transposed, delta and goal
    if few(rows, m, penalised):
        return room + max(m, rows) * p + B * rows + 3 * rows * p + 2 * rows * rows
    return room + max(m, B) * p + max(B, min(ROWS_AT_A_TIME, rows)) * p + m * p + 2 * m * m + m * n


def sweep_room(Py_ssize_t rows, Py_ssize_t B, Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, bint penalised):
    """How many numbers ``variables.scratch`` must have room for."""
    return room_of_layer(rows, B, d, n, n, penalised) + room_of_layer(rows, B, 0, n, K, False)


cdef void describe(Layer* layer, void* inputs, void* targets, void* weights, void* multipliers, void* state_multipliers,
                   void* row_weights, void* values, void* scratch, Py_ssize_t rows, Py_ssize_t B, Py_ssize_t d,
                   Py_ssize_t n, Py_ssize_t p, bint penalised) noexcept nogil:
    cdef Py_ssize_t m = d + n + 1
    if Layer is FloatLayer:
        layer.inputs, layer.targets, layer.weights = <float*> inputs, <float*> targets, <float*> weights
        layer.multipliers, layer.state_multipliers = <float*> multipliers, <float*> state_multipliers
        layer.row_weights, layer.values, layer.transposed = <float*> row_weights, <float*> values, <float*> scratch
    else:
        layer.inputs, layer.targets, layer.weights = <double*> inputs, <double*> targets, <double*> weights
        layer.multipliers, layer.state_multipliers = <double*> multipliers, <double*> state_multipliers
        layer.row_weights, layer.values, layer.transposed = <double*> row_weights, <double*> values, <double*> scratch
    layer.rows, layer.B, layer.m, layer.p, layer.d, layer.n = rows, B, m, p, d, n
    layer.dual = few(rows, m, penalised)
    layer.delta = layer.transposed + m * p
    layer.goal = layer.delta + B * max(p, n)
    layer.step = layer.goal + B * max(p, n)
    if layer.dual:
        layer.products = layer.step + max(m, rows) * p
        layer.residual = layer.products + B * rows
        layer.pending_x = layer.residual + rows * p
        layer.pending_s = layer.pending_x + rows * p
        layer.kernel_x = layer.pending_s + rows * p
        layer.kernel_s = layer.kernel_x + rows * rows
    else:
        layer.residual = layer.step + max(m, B) * p
        layer.gradient = layer.residual + max(B, min(ROWS_AT_A_TIME, rows)) * p
        layer.gram = layer.gradient + m * p
        layer.change = layer.gram + m * m
        layer.product = layer.change + m * m


cdef void weigh(Layer* layer, double nu, double rho, double r, double sign, double penalty_weight,
                Penalty penalty) noexcept nogil:
    layer.nu, layer.rho, layer.sign, layer.penalty = nu, rho, sign, penalty
    layer.total = nu * (layer.rows - layer.B) + rho * layer.B
    layer.rate = sign / (layer.rows * r)
    layer.shrinkage = penalty_weight / (layer.rows * r)


cdef int sweep_all(variables, Settings* at, double rho1, double rho3, double penalty_weight, Penalty penalty,
                   const unsigned char[::1] blocks, Py_ssize_t first, Py_ssize_t last, floating* _) except -1:
    """`sweep`, in the precision of the last argument, which is nothing else."""
    cdef floating[:, ::1] Theta = variables.Theta, Psi = variables.Psi, Z = variables.Z, H = variables.H
    cdef floating[:, ::1] A = variables.A, outputs = variables.O
    cdef floating[:, ::1] lambda1 = variables.lambda1, lambda2 = variables.lambda2, lambda3 = variables.lambda3
    cdef floating[:, ::1] values = Theta[:0] if at.cross_entropy else variables.values
    cdef floating[::1] row_weights = variables.row_weights, scratch = variables.scratch
    cdef const Py_ssize_t[::1] labels = variables.labels
    cdef Py_ssize_t d = variables.d, n = variables.n, K = variables.K, m, rows = A.shape[0], B = lambda1.shape[0]
    cdef Py_ssize_t room, i
    cdef bint fits_weights
    cdef double sign = 1 if at.derived else -1
    cdef FloatLayer float_hidden, float_output
    cdef DoubleLayer double_hidden, double_output
    cdef void* goals = &values[0, 0] if values.shape[0] else NULL
    if not (1 <= d <= MOST and 1 <= n <= MOST and 0 <= K <= MOST):
        raise ValueError(f"sweep: d is {d}, n is {n} and K is {K}, of which none may be above {<int> MOST}, and d and "
                         "n must be at least 1")
    m = d + n + 1
    fits_weights = Theta.shape[0] == n and Theta.shape[1] == m
    if B < 1 or not fits_weights or Psi.shape[0] != K \
            or Psi.shape[1] != n + 1 or at.offsets[at.N] != rows or Z.shape[0] != rows + B \
            or Z.shape[1] != m or H.shape[0] != rows or H.shape[1] != n + 1 or A.shape[1] != n \
            or outputs.shape[0] != rows or outputs.shape[1] != K \
            or lambda1.shape[1] != n or lambda2.shape[0] != B or lambda2.shape[1] != n \
            or lambda3.shape[0] != B or lambda3.shape[1] != K or row_weights.shape[0] != rows \
            or at.offsets[at.N + 1] - rows != B or rows - at.offsets[at.N - 1] != B \
            or scratch.shape[0] < sweep_room(rows, B, d, n, K, penalty != NONE):
        raise misfit("sweep", [
            ("Theta", Theta, (n, m)), ("Psi", Psi, (K, n + 1)), ("Z", Z, (rows + B, m)), ("H", H, (rows, n + 1)),
            ("A", A, (rows, n)), ("O", outputs, (rows, K)), ("lambda1", lambda1, ((1,), n)),
            ("lambda2", lambda2, (B, n)), ("lambda3", lambda3, (B, K)), ("row_weights", row_weights, (rows,)),
            ("scratch", scratch, ((sweep_room(rows, B, d, n, K, penalty != NONE) if fits_weights else 0,),))],
            f"the blocks of offsets do not have {rows} rows, with {B} in each of the last two, which is at least 1")
    room = room_of_layer(rows, B, d, n, n, penalty != NONE)
    if at.cross_entropy:
        if labels.shape[0] != rows:
            raise misfit("sweep", [("labels", labels, (rows,))], "")
        for i in range(rows):
            if row_weights[i] != 0 and not 0 <= labels[i] < K:
                raise ValueError(f"sweep: label {labels[i]} of row {i} must be from 0 to {K - 1}, one of {K} classes")
        at.labels = &labels[0]
    elif values.shape[0] != rows or values.shape[1] != K:
        raise misfit("sweep", [("values", values, (rows, K))], "")
    at.tolerance = 1e-8 if floating is float else 1e-13
    at.o_scratch = <double*> malloc(room_of_o_step(K) * sizeof(double))
    if at.o_scratch == NULL:
        raise MemoryError
    with nogil:
        if floating is float:
            describe(&float_hidden, &Z[0, 0], &A[0, 0], &Theta[0, 0], &lambda1[0, 0], &lambda2[0, 0], NULL, NULL,
                     &scratch[0], rows, B, d, n, n, penalty != NONE)
            describe(&float_output, &H[0, 0], &outputs[0, 0], &Psi[0, 0], &lambda3[0, 0], NULL, &row_weights[0],
                     goals, &scratch[room], rows, B, 0, n, K, False)
            weigh(&float_hidden, at.nu, rho1, at.r, sign, penalty_weight, penalty)
            weigh(&float_output, at.nu, rho3, at.r, sign, 0, NONE)
            run(at, &float_hidden, &float_output, blocks, first, last)
        else:
            describe(&double_hidden, &Z[0, 0], &A[0, 0], &Theta[0, 0], &lambda1[0, 0], &lambda2[0, 0], NULL, NULL,
                     &scratch[0], rows, B, d, n, n, penalty != NONE)
            describe(&double_output, &H[0, 0], &outputs[0, 0], &Psi[0, 0], &lambda3[0, 0], NULL, &row_weights[0],
                     goals, &scratch[room], rows, B, 0, n, K, False)
            weigh(&double_hidden, at.nu, rho1, at.r, sign, penalty_weight, penalty)
            weigh(&double_output, at.nu, rho3, at.r, sign, 0, NONE)
            run(at, &double_hidden, &double_output, blocks, first, last)
    free(at.o_scratch)
    return 0


def sweep(variables, settings, bytes blocks, Py_ssize_t first, Py_ssize_t last):
    """Update blocks of the variables and the weights, in place.

    Parameters
    ----------
    variables : Variables
        Everything that is updated, the targets and the scratch; see `admmirnn.solvers.algorithm1.variables.Variables`.
    settings : SweepSettings
        Penalties and options of this iteration; see `admmirnn.solvers.algorithm1.variables.SweepSettings`.
    blocks : bytes
        Which blocks, by their letters (o, c, V, s, a, b, W, U), in this order, at every step.
    first, last : int
        The steps, counted from 0 up to, not including, ``last``.
    """
    cdef Settings at
    cdef const Py_ssize_t[::1] offsets = variables.offsets
    cdef Penalty penalty = {"none": NONE, "ridge": RIDGE, "lasso": LASSO}[settings.penalty]
    cdef double rho1 = settings.rho1, rho3 = settings.rho3, penalty_weight = settings.penalty_weight
    at.nu, at.rho2, at.r = settings.nu, settings.rho2, settings.r
    at.f = named(settings.activation)
    at.derived, at.coupled = settings.derived, settings.coupled
    at.linearised, at.linear = settings.linearised, settings.linear
    at.cross_entropy = variables.values is None
    at.N = offsets.shape[0] - 2
    if not fits(offsets, variables.Z.shape[0]) or not 0 <= first <= last <= at.N:
        raise ValueError(
            f"sweep: the range of steps is {first} to {last}, which must be within 0 to {at.N}; or offsets are not the "
            f"first rows of blocks that fill the {variables.Z.shape[0]} rows of Z, with at least one row each and "
            "never fewer than before")
    if not set(blocks) <= set(b"ocVsabWU"):
        raise ValueError(f"sweep: blocks is {blocks!r}; all of its letters must be among b'ocVsabWU'")
    at.offsets = &offsets[0]
    if variables.Theta.dtype == "float32":
        sweep_all[float](variables, &at, rho1, rho3, penalty_weight, penalty, blocks, first, last, NULL)
    else:
        sweep_all[double](variables, &at, rho1, rho3, penalty_weight, penalty, blocks, first, last, NULL)
