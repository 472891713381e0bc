"""Networks as C99 sources, which need nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admmirnn.export.c.fixed import Fixed, Ranges
from admmirnn.export.c.fixed_source import FixedSource
from admmirnn.export.c.floating import FloatSource
from admmirnn.export.c.report import CReport, paths_of
from admmirnn.export.c.source import Answers
from admmirnn.export.c.text import check_c_name
from admmirnn.files.format import replace_file

if TYPE_CHECKING:
    from admmirnn.export.c.source import Source
    from admmirnn.export.network import Network

__all__ = [
    "Answers",
    "CReport",
    "Fixed",
    "FixedSource",
    "FloatSource",
    "Ranges",
    "check_reads_from_the_start",
    "name_of",
    "write",
]


def name_of(path: object) -> str:
    """What names in C begin with that belong to the source of this path, or raise if it cannot be written."""
    return check_c_name(paths_of(path)[2])


def write(source: Source, path: object, dtype: str, accuracy: dict[str, float] | None = None) -> CReport:
    """Write a source and its header; see ``to_c``."""
    of_source, of_header, _ = paths_of(path)
    text, header = source.text, source.header
    replace_file(of_header, header.encode("ascii"))
    replace_file(of_source, text.encode("ascii"))
    return CReport(
        source=of_source,
        header=of_header,
        dtype=dtype,
        weight_bytes=source.constant_bytes,
        state_bytes=source.state_bytes,
        stack_bytes=source.stack_bytes,
        accuracy=accuracy,
    )


def check_reads_from_the_start(network: Network) -> None:
    """Raise if a network reads sequences from their ends as well."""
    if network.n_directions > 1:
        raise ValueError(
            "the network is bidirectional, and C sources read observations as they come, with no room for whole "
            "sequences; fit with bidirectional=False"
        )
