"""The boot loader of the `single-slot` layout: check the only image there is, and run it or nothing.

There is no trailer: an update overwrites the image where it runs, and nothing can be tried or taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.bootloader.check import check_primary
from simlib.device.bootloader.outcome import Boot, Swap
from simlib.errors import Reason, Refused

if TYPE_CHECKING:
    from simlib.device.device import Device


def boot(device: Device) -> Boot:
    """Boot once; the security counter follows the image that runs."""
    try:
        verified, digest = check_primary(device)
    except Refused as refusal:
        device.note("boot", f"nothing to boot: {refusal}")
        return Boot(None, None, False, Swap.NONE, Reason.NO_VALID_IMAGE)
    counter = verified.security_counter or 0
    if counter > device.security_counter:
        device.security_counter = counter
        device.note("boot", f"security counter raised to {counter}")
    device.note("boot", str(verified.version))
    return Boot(verified.version, digest, False, Swap.NONE, Reason.NONE)
