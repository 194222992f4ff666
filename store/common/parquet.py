"""Pyarrow, which reads and writes Parquet files, and the error where its extra is not installed."""

from types import ModuleType

from head2toe.store.common.errors import MissingExtra


def import_pyarrow(purpose: str) -> ModuleType:
    """Import pyarrow together with its submodule `parquet`.

    Parameters
    ----------
    purpose : str
        What needs pyarrow, as the beginning of the message: `reading photos.parquet`.

    Raises
    ------
    MissingExtra
        Pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra(f"{purpose} needs pyarrow: pip install 'head2toe[parquet]'") from error
    module: ModuleType = pyarrow
    return module
