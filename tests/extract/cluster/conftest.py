"""Workers that start in no time."""

from collections.abc import Iterator
from multiprocessing.context import ForkServerContext

import pytest

try:
    import dask
except ImportError:
    dask = None


@pytest.fixture(autouse=True)
def _forked_workers(forked: ForkServerContext) -> Iterator[None]:
    """Fork the workers of a local cluster; Dask has each import everything otherwise, as where docs/scale.md is run."""
    if dask is None:
        yield
        return
    with dask.config.set({"distributed.worker.multiprocessing-method": forked.get_start_method()}):
        yield
