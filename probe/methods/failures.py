"""Methods that failed: each is named with its error, and the others go on."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from head2toe.store.common.errors import DataError, Head2ToeError, OutOfMemory, device_error

ONE_METHOD = (DataError, OutOfMemory, MemoryError, np.linalg.LinAlgError)
"""What may concern one method alone. A request that makes no sense, and a damaged store, concern the whole run."""


class _Named(Protocol):
    """An outcome."""

    @property
    def name(self) -> str:
        """The method's name."""


Found = TypeVar("Found", bound=_Named)


@dataclass(frozen=True)
class Failures:
    """The methods of a run that failed.

    Attributes
    ----------
    errors : dict
        The method's name to a line saying what is wrong.
    """

    errors: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def of(self, *methods: str) -> Iterator[None]:
        """Take an error that is raised inside for a failure of these methods, and go on after it.

        Only what may concern one method alone is taken (`ONE_METHOD`); everything else passes.
        """
        try:
            yield
        except ONE_METHOD as error:
            for method in methods:
                self.errors.setdefault(method, in_words(error))

    def outcome_of(self, method: str, outcomes: Iterable[Found]) -> Found:
        """Return the outcome of a method; raises `DataError` with the method's error where it failed."""
        found = next((one for one in outcomes if one.name == method), None)
        if found is None:
            raise DataError(self.errors[method])
        return found

    def none_left(self) -> Head2ToeError:
        """Return the error to raise where every method failed."""
        lines = list(dict.fromkeys(self.errors.values()))
        if len(lines) == 1:
            return DataError(lines[0])
        return DataError("; ".join(f"{method}: {line}" for method, line in self.errors.items()))


def in_words(error: Exception) -> str:
    """Say in one line why a method failed, and what to do."""
    error = device_error(error) or error
    if isinstance(error, Head2ToeError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "memory ran out: give the process more, or leave this method out of --methods"
    return f"its equations could not be solved ({error}): leave this method out of --methods, or choose another --head"
