"""One device with real bytes: flash, partitions, boot loader, updater and the bench."""

from __future__ import annotations

from simlib.device.config import DeviceConfig
from simlib.device.device import Device, DeviceState, Step, new_device
from simlib.device.flash import Flash, FlashError, FlashErrorKind, Geometry, PowerCut
from simlib.device.layouts import max_image_bytes
from simlib.device.meter import Meter
from simlib.device.partitions import Area, Partition

__all__ = [
    "Area",
    "Device",
    "DeviceConfig",
    "DeviceState",
    "Flash",
    "FlashError",
    "FlashErrorKind",
    "Geometry",
    "Meter",
    "Partition",
    "PowerCut",
    "Step",
    "max_image_bytes",
    "new_device",
]
