"""Devices, streams, memory."""

from .._device import Device, Event, Stream, get_current_stream
from . import device, memory, runtime

__all__ = ["Device", "Event", "Stream", "device", "get_current_stream", "memory", "runtime"]
