"""The table at the end of ``pytest --benchmark``."""

_HEADER = ("kernel", "size", "time", "GFLOP/s", "of gemm limit", "times faster than numpy")
_ALIGNED_LEFT = 2


def table(rows, limits):
    """Lines of text, a row for whatever is not the numpy twin, sorted by group.

    Parameters
    ----------
    rows : list of dict
        ``kernel``, ``size``, ``dtype``, ``variant``; ``seconds``, and ``flops`` or None, of one call.
    limits : dict
        Arithmetic operations a second of the fastest matrix product, by dtype.

    Returns
    -------
    list of str
    """
    twins = {_group(row): row["seconds"] for row in rows if row["variant"] == "numpy"}
    cells = [_cells(row, limits, twins.get(_group(row))) for row in _sorted(rows) if row["variant"] != "numpy"]
    widths = [max(map(len, column)) for column in zip(_HEADER, *cells, strict=True)]
    return [_line(line, widths) for line in (_HEADER, ["-" * width for width in widths], *cells)]


def duration(seconds):
    """Four digits or so, and a unit."""
    value, unit = (
        (seconds, "s") if seconds >= 1 else (1e3 * seconds, "ms") if seconds >= 1e-3 else (1e6 * seconds, "us")
    )
    return f"{value:.{2 if value < 100 else 1}f} {unit}"


def _group(row):
    return row["kernel"], row["size"], row["dtype"]


def _sorted(rows):
    """By kernel, dtype and size; kernels and sizes in the order in which they were measured."""
    kernels, sizes = (list(dict.fromkeys(row[name] for row in rows)) for name in ("kernel", "size"))
    return sorted(rows, key=lambda row: (kernels.index(row["kernel"]), row["dtype"], sizes.index(row["size"])))


def _cells(row, limits, twin):
    kernel = row["kernel"] if row["variant"] == "compiled" else f"{row['kernel']}, {row['variant']}"
    rate = row["flops"] and row["flops"] / row["seconds"]
    return (
        kernel,
        f"{row['size']} {row['dtype']}",
        duration(row["seconds"]),
        f"{rate / 1e9:.1f}" if rate else "",
        f"{rate / limits[row['dtype']]:.0%}" if rate else "",
        f"{twin / row['seconds']:.2f}" if twin else "",
    )


def _line(cells, widths):
    padded = [
        cell.ljust(width) if i < _ALIGNED_LEFT else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
