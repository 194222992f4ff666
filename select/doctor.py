"""The checks of arrays for `head2toe doctor`: NumPy's BLAS and its threads, CuPy and whether it computes."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from head2toe.select.compute.arrays import namespace, to_numpy
from head2toe.store.common.errors import Head2ToeError
from head2toe.store.console.cli import Check


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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
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
    """Check whether stage two can compute on a GPU, by a product of two matrices."""
    driver = Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
    extra = "pip install 'head2toe[cuda12]' or 'head2toe[cuda13]', whichever the driver supports"
    try:
        import cupy
    except ImportError:
        remedy = extra if driver else ""
        return Check("CuPy", "note", "not installed: selection and heads run on the CPU", remedy)
    try:
        arrays = namespace("cuda")
        ones = arrays.put(np.ones((64, 64), np.float32))
        right = bool((to_numpy(ones @ ones) == 64).all())
    except (Head2ToeError, RuntimeError, OSError, ImportError) as error:  # what CuPy and CUDA raise are RuntimeErrors
        reason = str(error).partition("\n")[0]
        return Check("CuPy", "FAIL" if driver else "note", f"{cupy.__version__} can't compute: {reason}", extra)
    if not right:
        return Check("CuPy", "FAIL", f"{cupy.__version__} multiplies wrongly on {arrays.name}", extra)
    return Check("CuPy", "ok", f"{cupy.__version__} on {arrays.name}")
