"""The CUDA runtime."""

from .._device import CUDARuntimeError
from .._device import device_count as getDeviceCount

__all__ = ["CUDARuntimeError", "getDeviceCount"]
