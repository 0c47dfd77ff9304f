"""What the swaps through a gap have in common: how one is written down, resumed and ended.

A swap is a fixed list of steps. A step erases its target, copies a whole sector and then writes its status
unit. Its source is left alone until a later step, which starts only once this one's unit is written, so any
step may be repeated, torn or not, and a swap resumes from the last unit written.

Everything a resumed swap needs stands in the primary's trailer before the first step: the kind, the size,
the content keys, image_ok where no trial follows, the magic last. Then the secondary's trailer is erased,
its magic last: until it is gone the start is simply done again, from then on the primary's trailer counts.

A revert is asked for by the primary's own trailer, which the start must erase. So that a cut cannot lose
the request, the secondary's trailer is first made to ask for it (as MCUboot does).

An encrypted image leaves the primary slot under its own content key. One whose key cannot be unwrapped does
not boot; should a candidate take its place, its payload is blanked on the way out, and there is no way back
to it.

Leaves to others: which steps there are (`swap_move`, `swap_offset`), the swap through a scratch area
(`swap_scratch`), whether there is anything to swap (`decision`), whether it may be used (`check`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from simlib.device.bootloader.check import image_limit
from simlib.device.bootloader.decision import under_way
from simlib.device.partitions import Area
from simlib.device.payload_cipher import PayloadCipher
from simlib.device.places import Place, header_at, occupied
from simlib.device.trailer import Magic, SwapType, Trailer, TrailerMap
from simlib.errors import Reason, Refused
from simlib.firmware.header import Header, parse_header
from simlib.security.encryption import content_key_of

if TYPE_CHECKING:
    from simlib.device.device import Device


class Swap(Protocol):
    """One way to swap the slots."""

    def decide(self, device: Device) -> SwapType:
        """What the trailers ask for, no swap being under way."""
        ...

    def candidate(self, device: Device, kind: SwapType) -> Place:
        """Where the image that such a swap brings in lies before it."""
        ...

    def under_way(self, device: Device) -> SwapType:
        """The kind of swap that was started and is not complete; NONE without one."""
        ...

    def untouched(self, device: Device) -> bool:
        """Whether an interrupted swap has not completed its first step: the candidate is still whole."""
        ...

    def start(self, device: Device, kind: SwapType) -> None:
        """Write down the swap that is to be; `finish` does it. The candidate must have been checked.

        Raises `Refused` before anything is written: OVERSIZE for what lies in the primary slot,
        DECRYPTION_FAILED for a candidate whose content key cannot be kept.
        """
        ...

    def withdraw(self, device: Device) -> None:
        """Take back what `start` wrote beside the primary's trailer."""
        ...

    def finish(self, device: Device) -> None:
        """Go on with the swap that was written down, from wherever it stopped, to its end.

        Raises `Refused` DECRYPTION_FAILED, before an image is overwritten, where the trailer has lost the
        new image's content key.
        """
        ...


class Steps(Protocol):
    """The steps of a swap through a gap, for `carry_on`."""

    def done(self) -> int:
        """Steps complete, from the highest status unit written."""
        ...

    def phases(self, done: int) -> Iterator[tuple[str, range]]:
        """What is still to do, as steps with what the journal calls them."""
        ...

    def run(self, step: int) -> None:
        """Do the step of this number, counted from 0, and write its status unit."""
        ...

    def where(self, step: int) -> tuple[object, ...]:
        """What the code knows at this step besides the flash."""
        ...


class GapSwap:
    """What is the same for both: a swap that the primary's trailer describes, in steps that `steps` makes."""

    def candidate(self, device: Device, kind: SwapType) -> Place:
        """Where the image that such a swap brings in lies before it."""
        raise NotImplementedError

    def steps(self, device: Device) -> Steps:
        """The steps of the swap that was written down."""
        raise NotImplementedError

    def under_way(self, device: Device) -> SwapType:
        """By the primary's trailer."""
        return kind_under_way(device)

    def untouched(self, device: Device) -> bool:
        """No status unit is written."""
        return trailer_of(device, "primary").status_units() == 0

    def start(self, device: Device, kind: SwapType) -> None:
        """Into the primary's trailer."""
        write_down(device, kind, self.candidate(device, kind))

    def withdraw(self, device: Device) -> None:
        """There is nothing beside it."""

    def finish(self, device: Device) -> None:
        """From the highest status unit written."""
        steps = self.steps(device)
        carry_on(device, steps, steps.done())


def trailer_of(device: Device, slot: str) -> Trailer:
    """The trailer of this slot."""
    encrypted = device.decryption_key is not None
    return Trailer(device.area(slot), TrailerMap.of(device.config, encrypted=encrypted, slot=slot))


def ask(device: Device, slot: str, what: str) -> None:
    """Write the request into the trailer of this slot, which is journalled as `what`.

    What an earlier request left, whole or torn, must not mix with this one.
    """
    trailer = trailer_of(device, slot)
    with device.step("request", what):
        if not trailer.is_clean():
            trailer.erase()
        trailer.write_magic()


def kind_under_way(device: Device) -> SwapType:
    """The kind of a swap through a gap that was started and is not complete; NONE without one."""
    primary = trailer_of(device, "primary")
    if not under_way(primary.state(), trailer_of(device, "secondary").state()):
        return SwapType.NONE
    if not 0 < primary.swap_size() <= image_limit(device):
        return SwapType.NONE
    return primary.swap_type()


def write_down(device: Device, kind: SwapType, candidate: Place) -> None:
    """Write the swap that is to be into the primary's trailer, as `Swap.start` says."""
    primary, secondary = trailer_of(device, "primary"), trailer_of(device, "secondary")
    size = size_to_swap(device, candidate)
    with device.step("swap", f"start {kind}, {size} bytes"):
        keys = content_keys(device, candidate)
        if kind is SwapType.REVERT and secondary.magic() is not Magic.GOOD:
            # Where it is good, an earlier start has got beyond this, and the only request stands here.
            secondary.erase()
            if secondary.map.keeps_tlv_sizes:
                secondary.write_copy_done()  # by offset, a revert goes another way than an update
            else:
                secondary.write_image_ok()
            secondary.write_magic()
        primary.erase()
        describe(primary, kind, size, keys, confirmed=secondary.state().image_ok or kind is SwapType.REVERT)


def describe(
    trailer: Trailer,
    kind: SwapType,
    size: int,
    keys: list[bytes | None],
    *,
    confirmed: bool,
    units: int = 0,
) -> None:
    """Fill a trailer with what a swap needs to be resumed, the magic last.

    Nothing is in it yet but the status of `units` steps. Raises `Refused` WRITE_REFUSED where it does not
    read back, as in worn cells.
    """
    trailer.write_swap_type(kind)
    if confirmed:
        trailer.write_image_ok()
    trailer.write_swap_size(size)
    for slot, key in enumerate(keys):
        if key is not None:
            trailer.write_content_key(slot, key)
    trailer.write_magic()
    state = trailer.state()
    held = [trailer.content_key(slot) for slot in range(len(keys))] if trailer.map.encrypted else keys
    found = (state.magic, state.copy_done, trailer.swap_type(), trailer.swap_size(), trailer.status_units())
    if found != (Magic.GOOD, False, kind, size, units) or held != keys:
        raise Refused(
            Reason.WRITE_REFUSED, f"trailer in {trailer.area.name}: found another one than was written"
        )


def size_to_swap(device: Device, candidate: Place) -> int:
    """How many bytes a swap has to cover; raises `Refused` OVERSIZE for what lies in the primary slot."""
    size = max(_size_at(Place(device.area("primary"))), _size_at(candidate))
    if size > image_limit(device):
        raise Refused(
            Reason.OVERSIZE, f"image in the primary slot: found {size} bytes, expected {image_limit(device)}"
        )
    return size


def content_keys(device: Device, candidate: Place) -> list[bytes | None]:
    """The content keys of the image that leaves the primary slot and of the one that comes.

    Raises `Refused` DECRYPTION_FAILED for an encrypted candidate whose key cannot be kept.
    """
    keys = [_unwrapped_key(device, place) for place in (Place(device.area("primary")), candidate)]
    if keys[1] is None and device.decryption_key is not None and _is_encrypted(candidate):
        raise _no_content_key()
    return keys


def carry_on(device: Device, steps: Steps, done: int) -> None:
    """Do the steps from number `done` on and record that the swap is complete."""
    if done == 0:
        with device.step("swap", "erase the secondary's trailer"):
            trailer_of(device, "secondary").erase()
    for name, rest in steps.phases(done):
        with device.step("swap", name):
            for step in rest:
                device.checkpoint(step, *steps.where(step))
                steps.run(step)
    with device.step("swap", "complete"):
        trailer_of(device, "primary").write_copy_done()


def put(area: Area, offset: int, data: bytes) -> None:
    """Erase the sector at `offset` and write `data` to it."""
    area.erase(offset)
    area.write_bytes(offset, data)


def ciphers(
    device: Device, trailer: Trailer, leaving: Place, coming: Place
) -> tuple[PayloadCipher, PayloadCipher]:
    """The ciphers of the image that leaves the primary slot and of the one that comes.

    Their headers are read from where the steps have left them, their keys from `trailer`.
    """
    if device.decryption_key is None:
        plain = PayloadCipher(None, None)
        return plain, plain
    old_header, new_header = header_at(leaving), header_at(coming)
    old_key, new_key = trailer.content_key(0), trailer.content_key(1)
    if new_header is not None and new_header.encrypted and new_key is None:
        raise _no_content_key()
    return _cipher_of_leaving(device, old_header, old_key), PayloadCipher.of(new_header, new_key)


def _cipher_of_leaving(device: Device, header: Header | None, key: bytes | None) -> PayloadCipher:
    if header is not None and header.encrypted and key is None:
        return PayloadCipher.blanking(header, device.config.erased_value)
    return PayloadCipher.of(header, key)


def _size_at(place: Place) -> int:
    try:
        return len(occupied(place))
    except Refused:
        return 0  # nothing there that is worth keeping


def _is_encrypted(place: Place) -> bool:
    header = header_at(place)
    return header is not None and header.encrypted


def _unwrapped_key(device: Device, place: Place) -> bytes | None:
    """The content key of the image there, None where it has none that can be unwrapped.

    One that equals an erased trailer field counts as none: once kept, it could not be told from nothing.
    """
    if device.decryption_key is None:
        return None
    try:
        image = occupied(place)
        if not parse_header(image).encrypted:
            return None
        device.meter.unwrap(device.decryption_key.algorithm)
        key = content_key_of(image, device.decryption_key)
    except Refused:
        return None
    return None if key == bytes([device.config.erased_value]) * len(key) else key


def _no_content_key() -> Refused:
    return Refused(
        Reason.DECRYPTION_FAILED, "content key of the new image: found none, expected one kept for the swap"
    )
