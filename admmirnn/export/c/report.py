"""What a C export takes of a machine, and costs in accuracy."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from admmirnn import validation

_FLAGS = ("-Os", "-std=c99")


@dataclass(frozen=True)
class CReport:
    """What `to_c` has written, and what that takes of a machine.

    Attributes
    ----------
    source, header : str
        Names of the files.
    dtype : {"float32", "int8"}
        Arithmetic of the source.
    weight_bytes : int
        Bytes of constants: the weights and biases, with "int8" their factors, and the table of tanh.
    state_bytes : int
        Bytes of the state of one stream.
    stack_bytes : int
        Bytes of all arrays that are on the stack at one time; return addresses and single variables come on top of it,
        see `measure`.
    accuracy : dict or None
        Agreement of "int8" with the network, measured on the calibration data; see ``to_c``.
    """

    source: str
    header: str
    dtype: str
    weight_bytes: int
    state_bytes: int
    stack_bytes: int
    accuracy: dict[str, float] | None = None

    def measure(self, compiler: str = "cc", flags: Sequence[str] = _FLAGS) -> dict[str, int]:
        """Compile the source, and return what it takes then.

        Parameters
        ----------
        compiler : str, default="cc"
            Name of a gcc or clang, such as "arm-none-eabi-gcc".
        flags : sequence of str, default=("-Os", "-std=c99")
            Options of the compiler, such as ``["-Os", "-mcpu=cortex-m4", "-mthumb"]``.

        Returns
        -------
        dict
            Numbers of bytes: "code" and "constants", and, with a compiler that knows ``-fstack-usage``, "stack": the
            sum over all functions, which is more than those that are called at one time need.

        Raises
        ------
        FileNotFoundError
            If there is no such compiler.
        ValueError
            If the compiler refuses the source or the flags.
        """
        if shutil.which(str(compiler)) is None:
            raise FileNotFoundError(f"compiler is {compiler!r}, which cannot be found; install it, or pass another one")
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "model.o")
            _run([compiler, *flags, "-fstack-usage", "-c", os.path.abspath(self.source), "-o", target], folder)
            sizes = _run([_size_of(compiler), "-A", target], folder)
            usage = [path.read_text() for path in Path(folder).glob("*.su")]
        found = {"code": 0, "constants": 0}
        for line in sizes.splitlines():
            section, *numbers = line.split()[:2] or [""]
            if section.startswith(".text"):
                found["code"] += int(numbers[0])
            elif section.startswith((".rodata", ".data")):
                found["constants"] += int(numbers[0])
        if usage:
            found["stack"] = sum(int(line.split("\t")[1]) for line in "".join(usage).splitlines())
        return found


def _size_of(compiler: str) -> str:
    """The program ``size`` that belongs to a compiler."""
    found = subprocess.run([compiler, "-print-prog-name=size"], capture_output=True, text=True).stdout.strip()
    return found if found and shutil.which(found) else "size"


def _run(command: Sequence[str], folder: str) -> str:
    done = subprocess.run(list(command), capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise ValueError(f"{shlex.join(command)} has failed: {done.stderr.strip()[-1000:]}")
    return done.stdout


def paths_of(path: object) -> tuple[str, str, str]:
    """The source, the header beside it, and the name of both without an ending, or raise."""
    source = validation.check_new_path(path)
    stem, ending = os.path.splitext(source)
    if ending != ".c":
        raise ValueError(f"path is {source!r}; pass the name of a C source, which ends with '.c'")
    return source, validation.check_new_path(f"{stem}.h"), os.path.basename(stem)
