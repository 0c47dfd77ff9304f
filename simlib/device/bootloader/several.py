"""A boot of a device with several images, each with slots of its own, that may depend on one another.

MCUboot's order (`context_boot_go`, boot/bootutil/src/loader.c): what was cut short is finished for every
image, then it is found out what each image has to do, then the dependencies are looked at, then the swaps are
done, and at last every image is checked: one that does not hold stops the device.

An image demands of another that it will be of a version at least, as things would stand after this boot. One
demand that is not met holds back all swaps (`boot_verify_dependencies`): the candidates stay requested and
are looked at again at the next boot, and a revert waits with them, as in MCUboot. A demand on an image that
the device does not have is never met.

A boot that finds one image swapped in and on trial, and another one still to be swapped in, was cut between
the two: the first is not taken for a failed trial. So a set of images comes as a whole.

The images are given as devices over one flash, an `ImageOf` each. Leaves to others: how one image is swapped
(`swapping`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simlib.device.bootloader import loader
from simlib.device.bootloader.outcome import Boot, Swap
from simlib.device.bootloader.swapping import Swapping, Wanted
from simlib.device.places import Place, occupied
from simlib.device.trailer import SwapType
from simlib.errors import Refused
from simlib.firmware.image import parse_image
from simlib.firmware.version import Version

if TYPE_CHECKING:
    from simlib.device.device import Device
    from simlib.firmware.dependency import Dependency


def boot_several(images: Sequence[Device], swapping: Swapping) -> tuple[Boot, ...]:
    """Reset the device once; a boot for each image, in their order. None of them runs where one may not.

    Raises `PowerCut` where power fails on the way; the next boot goes on from there.
    """
    wanted = [swapping.find_out(image) for image in images]
    _keep_sets_whole(wanted)
    if not _dependencies_met(images, wanted):
        for each in wanted:
            _hold(each)
    for image, each in zip(images, wanted, strict=True):
        if each.kind is not SwapType.NONE:
            swapping.swap(image, each)
    booted = []
    for image, each in zip(images, wanted, strict=True):
        try:
            booted.append(swapping.run(image, each.done, each.refused))
        except Refused as refusal:
            return tuple(
                loader.nothing(other, done.done, refusal) for other, done in zip(images, wanted, strict=True)
            )
    return tuple(booted)


def _keep_sets_whole(wanted: Sequence[Wanted]) -> None:
    coming = {SwapType.TEST, SwapType.PERMANENT}
    if any({each.kind, each.finished} & coming for each in wanted):
        for each in wanted:
            if each.kind is SwapType.REVERT and not each.written_down:
                _hold(each)


def _hold(each: Wanted) -> None:
    if each.kind is not SwapType.NONE:
        each.kind, each.done = SwapType.NONE, Swap.NONE


def _dependencies_met(images: Sequence[Device], wanted: Sequence[Wanted]) -> bool:
    """As things would stand after the swaps."""
    facts = [_facts(image, each) for image, each in zip(images, wanted, strict=True)]
    for image, (_, demands) in zip(images, facts, strict=True):
        for demand in demands:
            found = facts[demand.image][0] if demand.image < len(facts) else None
            if found is None or found < demand.least:
                image.note("boot", f"held: found {found or 'no such image'}, expected {demand}")
                return False
    return True


def _facts(image: Device, each: Wanted) -> tuple[Version | None, tuple[Dependency, ...]]:
    """Version and demands of the image that would be in the primary slot."""
    if each.kind is not SwapType.NONE and each.candidate is not None:
        return each.candidate.version, each.candidate.dependencies
    try:
        parsed = parse_image(occupied(Place(image.area("primary"))))
    except Refused:
        return None, ()
    return parsed.header.version, parsed.dependencies
