"""How ``_kernels/`` on disk becomes ``admmirnn._kernels`` installed; nothing else."""

import os
import re
import shutil
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

KERNELS = Path("_kernels")
GENERATED = Path("build/cython")
CIMPORTED = re.compile(r"^from admmirnn\._kernels\.(\w+) cimport", re.MULTILINE)


class BuildKernels(build_ext):
    """Compile with the flags that let gcc and clang vectorise the leaf loops.

    Never ``-ffast-math`` (it changes results, and the floating-point state of the whole process) and
    never ``-march=native`` (wider instruction sets are chosen when the program runs, see ``_simd``).

    An editable install takes the kernels that are in ``_kernels/`` already and newer than their sources; setuptools
    builds it in a new folder, and would compile everything whenever one is asked for, as for another extra.  Only the
    others go through Cython, and only here: pip runs this file three times for an install.
    """

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True  # as many compilers as there are cores

    def run(self):
        self.inplace_wanted = bool(self.inplace)  # setuptools takes it for 0 while it builds
        super().run()

    def build_extensions(self):
        current = [extension for extension in self.extensions if self.inplace_wanted and self.is_current(extension)]
        for extension in current:
            built = Path(self.get_ext_fullpath(extension.name))
            built.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.in_place(extension), built)
        everything = self.extensions
        self.extensions = [extension for extension in everything if extension not in current]
        sources = sources_in_c(self.extensions)
        for extension in self.extensions:
            extension.sources = sources[extension.name]
        if self.compiler.compiler_type != "msvc":
            for extension in self.extensions:
                extension.extra_compile_args += ["-O3", "-fno-math-errno", "-fno-trapping-math"]
        super().build_extensions()
        self.extensions = everything

    def in_place(self, extension):
        return KERNELS / Path(self.get_ext_filename(extension.name)).name

    def is_current(self, extension):
        """Whether the kernel in ``_kernels/`` is newer than its source and what that cimports.

        The generated C does not count: its age is that of the last run of Cython.
        """
        kernel = extension.name.rpartition(".")[2]
        return not self.force and not newer_group([*sources_of(kernel), __file__], self.in_place(extension))


def sources_in_c(extensions):
    """What Cython, in as many processes as there are cores, makes of the ``.pyx`` of each extension, by its name."""
    made = cythonize(
        extensions,
        nthreads=os.cpu_count() or 1,
        include_path=declarations(),
        build_dir=str(GENERATED),
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
            # kernels share nothing but their arguments, the busy flag of streams, the helpers of _threads, which atomic
            # flags guard, and small_product of _blas, set once
            "freethreading_compatible": True,
        },
    )
    return {extension.name: extension.sources for extension in made}


def sources_of(kernel):
    """Its ``.pyx`` and ``.pxd``, and the ``.pxd`` files that it cimports itself or through others."""
    found, left = set(), [KERNELS / f"{kernel}.pyx", KERNELS / f"{kernel}.pxd"]
    while left:
        path = left.pop()
        if path not in found and path.exists():
            found.add(path)
            left += [KERNELS / f"{name}.pxd" for name in CIMPORTED.findall(path.read_text(encoding="utf-8"))]
    return sorted(map(str, found))


def declarations():
    """Copy the ``.pxd`` files to where a cimport of ``admmirnn._kernels`` looks for them.

    Cython does not know ``package_dir``: without this a kernel can neither cimport another one nor
    find its own declarations.
    """
    include = GENERATED / "include"
    package = include / "admmirnn" / "_kernels"
    package.mkdir(parents=True, exist_ok=True)
    for path in KERNELS.glob("*.pxd"):
        shutil.copy2(path, package / path.name)
    return [str(include)]


if __name__ == "__main__":  # Cython's processes import this file where they are spawned
    setup(
        packages=[*find_packages(include=["admmirnn", "admmirnn.*"]), "admmirnn._kernels"],
        package_dir={"admmirnn": "admmirnn", "admmirnn._kernels": "_kernels"},
        package_data={"admmirnn": ["py.typed"], "admmirnn._kernels": ["*.pyi"]},
        cmdclass={"build_ext": BuildKernels},
        ext_modules=[
            Extension(f"admmirnn._kernels.{path.stem}", [path.as_posix()]) for path in sorted(KERNELS.glob("*.pyx"))
        ],
    )
