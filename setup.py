"""How ``_kernels/`` on disk becomes ``admmirnn._kernels`` installed; nothing else."""

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
    """

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True  # as many compilers as there are cores

    def build_extension(self, extension):
        """Compile a kernel, unless the one in ``_kernels/`` is newer than its source and what that cimports.

        setuptools builds an editable install in a new folder, and would compile everything whenever one is asked for,
        as for another extra.  The generated C does not count: it is written anew each time, as pip installs what it
        cimports of Cython and scipy anew.
        """
        name = Path(self.get_ext_filename(extension.name)).name
        in_place = KERNELS / name
        made_of = [*sources_of(name.partition(".")[0]), __file__]
        if self.inplace_wanted and not self.force and not newer_group(made_of, in_place):
            built = Path(self.get_ext_fullpath(extension.name))
            built.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(in_place, built)
        else:
            super().build_extension(extension)

    def run(self):
        self.inplace_wanted = bool(self.inplace)  # setuptools takes it for 0 while it builds
        super().run()

    def build_extensions(self):
        if self.compiler.compiler_type != "msvc":
            for extension in self.extensions:
                extension.extra_compile_args += ["-O3", "-fno-math-errno", "-fno-trapping-math"]
        super().build_extensions()


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


setup(
    packages=[*find_packages(include=["admmirnn", "admmirnn.*"]), "admmirnn._kernels"],
    package_dir={"admmirnn": "admmirnn", "admmirnn._kernels": "_kernels"},
    package_data={"admmirnn": ["py.typed"], "admmirnn._kernels": ["*.pyi"]},
    cmdclass={"build_ext": BuildKernels},
    ext_modules=cythonize(
        [Extension(f"admmirnn._kernels.{path.stem}", [path.as_posix()]) for path in sorted(KERNELS.glob("*.pyx"))],
        include_path=declarations(),
        build_dir=str(GENERATED),
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
            # kernels share nothing but their arguments, the busy flag of streams, and small_product of _blas, set once
            "freethreading_compatible": True,
        },
    ),
)
