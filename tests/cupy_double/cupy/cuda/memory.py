"""The memory pool's error."""

from .._device import OutOfMemoryError

__all__ = ["OutOfMemoryError"]
