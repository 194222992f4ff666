"""The errors the library raises: every message is one line that says what is wrong, where, and what to do.

They stand on the ground floor of the house so that every room can raise them; `cli.Commands` turns them into a message
and an exit code. Anything else that escapes is a bug and keeps its traceback.
"""

from pathlib import Path


class Head2ToeError(Exception):
    """Something failed that a user can understand and mend."""

    exit_code = 1


class BadRequest(Head2ToeError):
    """What was asked for does not exist or makes no sense (an unknown task, backbone or option value)."""

    exit_code = 2


class DataError(Head2ToeError):
    """Images, labels or features are unusable (a corrupt image, an empty class, NaN in a layer)."""


class StoreError(Head2ToeError):
    """A feature store, or another file of the library's own, is incomplete, damaged, foreign, or can't be written."""


class Refused(StoreError):
    """The operating system refused to read or write a file, which says nothing about what the file holds."""


class Damaged(StoreError):
    """A file of the library's own is not what was written.

    Attributes
    ----------
    file : Path
        The file.
    what : str
        What is wrong with it, in a few words.
    """

    def __init__(self, file: Path, what: str, remedy: str) -> None:
        self.file, self.what = file, what
        super().__init__(f"{file}: {what}: {remedy}")


class MissingExtra(Head2ToeError):
    """An optional dependency is needed; the message names the extra that brings it."""


class OutOfMemory(Head2ToeError):
    """Memory ran out; what was worked on is not at fault."""


class DeviceError(Head2ToeError):
    """A GPU failed, or can't compute; the message says what to do without it."""


def device_error(error: BaseException) -> Head2ToeError | None:
    """Return what an error of CuPy or of CUDA's libraries means to a user; None for any other error.

    They are told by the packages that their classes come from, which need not be there to be asked.
    """
    homes = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    if not homes & {"cupy", "cupy_backends", "cupyx"}:
        return None
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    if isinstance(error, MemoryError):
        return OutOfMemory(f"the GPU's memory ran out ({said}): take a smaller --device-memory, or --device cpu")
    return DeviceError(f"the GPU failed ({said}): see `head2toe doctor`, or take --device cpu")
