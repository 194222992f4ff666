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
