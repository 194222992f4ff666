"""The CUDA runtime."""

from typing import Any

from .._device import CUDARuntimeError
from .._device import device_count as getDeviceCount

__all__ = ["CUDARuntimeError", "getDeviceCount", "getDeviceProperties"]


def getDeviceProperties(device: int) -> dict[str, Any]:
    """What a card says of itself, of which its name is asked for here."""
    return {"name": b"none: a stand-in for CuPy"}
