"""Where array_api_compat looks for the class of devices."""

from .._device import Device

__all__ = ["Device"]
