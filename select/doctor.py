"""The checks of arrays for `head2toe doctor`: NumPy's BLAS and its threads, CuPy and whether it computes."""

import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from head2toe.select.compute.arrays import first_line, namespace
from head2toe.store.common.cores import usable_cores
from head2toe.store.common.errors import Head2ToeError
from head2toe.store.console.cli import Check

EXTRAS = (12, 13)
"""The versions of CUDA that there is an extra for."""


def array_checks() -> list[Check]:
    """Check every BLAS and CuPy."""
    import scipy.linalg  # type: ignore[import-untyped]  # noqa: F401  (brings a BLAS of its own)

    return [*blas_checks(threadpoolctl.threadpool_info()), cupy_check()]


def blas_checks(pools: list[dict[str, Any]]) -> list[Check]:
    """Return a check for each BLAS that is loaded: its kernels (what it takes this CPU for) and its threads.

    Parameters
    ----------
    pools : list of dict
        As `threadpoolctl.threadpool_info` returns them.
    """
    cores = usable_cores()
    listing = {
        f"{pool['internal_api']} {pool.get('version') or ''}, kernels {pool.get('architecture', 'unknown')}, "
        f"{pool['num_threads']} threads": pool["num_threads"]
        for pool in pools
        if pool["user_api"] == "blas"
    }
    if not listing:
        text = f"none that threadpoolctl knows (NumPy {np.__version__})"
        return [Check("BLAS", "note", text, "set its number of threads by its own variable if sweeps are slow")]
    return [
        Check("BLAS", "note", f"{text} on {cores} cores", f"set OMP_NUM_THREADS and OPENBLAS_NUM_THREADS to {cores}")
        if threads > cores
        else Check("BLAS", "ok", text)
        for text, threads in listing.items()
    ]


def cupy_check() -> Check:
    """Check whether stage two can compute on a GPU, by a function, a product and a solution."""
    driver = Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
    installed, extra = cupy_packages(), f"pip install {wanted_extra()}"
    if len(installed) > 1:
        text = f"{' and '.join(installed)} are installed over each other: CuPy can be there once"
        return Check("CuPy", "FAIL", text, f"pip uninstall {' '.join(installed)}, then {extra}")
    try:
        import cupy
    except ImportError as error:
        if error.name != "cupy":
            return Check("CuPy", "FAIL" if driver else "note", f"can't be imported: {first_line(error)}", extra)
        remedy = extra if driver else ""
        return Check("CuPy", "note", "not installed: selection and heads run on the CPU", remedy)
    try:
        arrays = namespace("cuda")
    except Head2ToeError as error:
        return Check("CuPy", "FAIL" if driver else "note", f"{cupy.__version__}: {first_line(error)}", extra)
    other = [name for name in installed if cuda_of(name) != torch_cuda()] if torch_cuda() else []
    if other:
        text = f"{cupy.__version__} on {arrays.name}, by CUDA {cuda_of(other[0])}; torch comes with CUDA {torch_cuda()}"
        return Check("CuPy", "note", text, f"if either fails to find a library: {extra}, which has torch's CUDA")
    return Check("CuPy", "ok", f"{cupy.__version__} on {arrays.name}")


def cupy_packages() -> list[str]:
    """Return the installed packages that are CuPy: one for each CUDA (cupy-cuda12x), or the one to compile."""
    names = ("cupy", *(f"cupy-cuda{number}x" for number in EXTRAS))
    return [name for name in names if _version(name)]


def cuda_of(package: str) -> int | None:
    """Return the CUDA that a package of CuPy is for: 12 of `cupy-cuda12x`; None of the one to compile."""
    return next((number for number in EXTRAS if f"cuda{number}" in package), None)


def torch_cuda() -> int | None:
    """Return the CUDA that the installed torch brings along, without importing it; None if it has none, or none known.

    A wheel of PyTorch's own index says so in its version (2.9.0+cu130); those of PyPI depend on packages that do:
    `nvidia-cuda-runtime-cu12`, and from CUDA 13 on without a number in the name.
    """
    if "+cu" in (version := _version("torch")):
        return int(version.partition("+cu")[2][:2])
    if _version("nvidia-cuda-runtime-cu12"):
        return 12
    return int(_version("nvidia-cuda-runtime").partition(".")[0] or 0) or None


def wanted_extra() -> str:
    """Name the extra that fits the installed torch; both, where torch does not say."""
    if (number := torch_cuda()) in EXTRAS:
        return f"'head2toe[cuda{number}]'"
    return "'head2toe[cuda12]' or 'head2toe[cuda13]', whichever the driver supports"


def _version(package: str) -> str:
    """Return the version of an installed package, or nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
