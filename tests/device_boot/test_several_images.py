"""A device with two images that depend on one another.

The eleven combinations are those of MCUboot's own simulator (sim/tests/core.rs, `TEST_DEPS`): what each
candidate demands of the other image, and which of the two is upgraded.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from simlib.device import Device, DeviceConfig, PowerCut, new_device
from simlib.device.bootloader.several import boot_several
from simlib.device.bootloader.swap_move import SwapMove
from simlib.device.bootloader.swap_offset import SwapOffset
from simlib.device.bootloader.swap_scratch import SwapScratch
from simlib.device.bootloader.swapping import Swapping
from simlib.device.flash import Flash
from simlib.draws import Stream
from simlib.firmware.dependency import Dependency
from simlib.firmware.tlv import TlvType
from simlib.firmware.version import Version
from simlib.security.keys import SigningKey, derive_private
from simlib.security.signing import sign_image

SIGNER = SigningKey.of(derive_private("ecdsa-p256", 1, "test key of devices with several images"))
CONFIG = DeviceConfig(
    "swap-move", slot_size_bytes=5 * 1024, download_size_bytes=0, sector_size_bytes=1024, write_size_bytes=1
)
ALGORITHMS = {"swap-move": SwapMove, "swap-offset": SwapOffset, "swap-scratch": SwapScratch}
CASES = {  # demands of image 0 and 1 on the other one, and which are upgraded
    "nothing nothing": (True, True),
    "correct correct": (True, True),
    "newer newer": (False, False),
    "newer correct": (False, False),
    "correct newer": (False, False),
    "nothing none": (True, False),
    "old none": (True, False),
    "newer none": (False, False),
    "none nothing": (False, True),
    "none old": (False, True),
    "none newer": (False, False),
}


def version_of(image: int, slot: int, minor: int = 0) -> Version:
    return Version(20 * image + slot, minor, 1, slot)


def demand(kind: str, image: int) -> list[Dependency]:
    other = 1 - image
    least = {
        "correct": version_of(other, 1),
        "old": version_of(other, 0),
        "newer": version_of(other, 1, 1),
    }
    return [Dependency(other, least[kind])] if kind in least else []


def image_of(number: int, slot: int, kind: str = "nothing") -> bytes:
    return sign_image(
        Stream(number + 2 * slot, 7).block(300).tobytes()[:1100],
        version_of(number, slot),
        SIGNER,
        security_counter=1,
        dependencies=demand(kind, number),
        deterministic=True,
    )


class TwoImages:
    """Two pairs of slots over one flash, each the size of one device of the layout."""

    def __init__(self, layout: str, candidates: tuple[str, str]) -> None:
        config = replace(CONFIG, layout=layout)
        halves = [new_device(config, (SIGNER.public(),), None, image_of(n, 0), 1) for n in range(2)]
        first = halves[0].flash
        content = b"".join(half.flash.content() for half in halves)
        self.flash = Flash(len(content), first.geometry, first.profile, first.meter, content)
        self.images = []
        for n in range(2):
            device = Device(config, (SIGNER.public(),), None, self.flash, 1, offset=n * first.size_bytes)
            device.evaluates = frozenset({TlvType.DEPENDENCY})
            self.images.append(device)
        self.swapping = Swapping(ALGORITHMS[layout]())
        for n, kind in enumerate(candidates):
            if kind != "none":
                place = self.swapping.target(self.images[n])
                place.area.erase_all()
                place.area.write_bytes(place.offset, image_of(n, 1, kind))
                self.swapping.request(self.images[n])

    def boot(self) -> list[tuple[Version | None, bool]]:
        return [(each.version, each.trial) for each in boot_several(self.images, self.swapping)]

    def confirm(self) -> None:
        for image in self.images:
            self.swapping.confirm(image)


@pytest.mark.parametrize("layout", ALGORITHMS)
@pytest.mark.parametrize("case", CASES)
def test_a_demand_that_is_not_met_holds_back_every_image(layout: str, case: str) -> None:
    device = TwoImages(layout, tuple(case.split()))
    expected = [(version_of(n, int(upgraded)), upgraded) for n, upgraded in enumerate(CASES[case])]
    assert device.boot() == expected
    device.confirm()
    assert device.boot() == [(version, False) for version, _ in expected]


def test_a_candidate_that_was_held_back_is_taken_when_what_it_needs_comes() -> None:
    device = TwoImages("swap-move", ("correct", "none"))
    assert device.boot() == [(version_of(0, 0), False), (version_of(1, 0), False)]
    place = device.swapping.target(device.images[1])
    place.area.write_bytes(place.offset, image_of(1, 1))
    device.swapping.request(device.images[1])
    assert device.boot() == [(version_of(0, 1), True), (version_of(1, 1), True)]


def test_a_demand_on_an_image_that_is_not_there_is_never_met() -> None:
    device = TwoImages("swap-move", ("none", "none"))
    lost = sign_image(
        bytes(900),
        version_of(0, 1),
        SIGNER,
        security_counter=1,
        dependencies=[Dependency(2, version_of(0, 0))],
        deterministic=True,
    )
    device.images[0].area("secondary").write_bytes(0, lost)
    device.swapping.request(device.images[0])
    assert device.boot()[0] == (version_of(0, 0), False)
    assert any("held" in step.detail for step in device.images[0].journal)


@pytest.mark.parametrize("layout", ALGORITHMS)
@pytest.mark.parametrize("tear", ["none", "partial", "garbage"])
def test_images_that_need_each_other_come_together_or_not_at_all_wherever_power_fails(
    layout: str, tear: str
) -> None:
    """Cut at every operation of the boot that swaps both, and of the one that reverts both."""
    device = TwoImages(layout, ("correct", "correct"))
    start = device.flash.snapshot()
    old = [version_of(n, 0) for n in range(2)]
    new = [version_of(n, 1) for n in range(2)]
    assert [version for version, _ in device.boot()] == new
    tried = device.flash.snapshot()
    assert [version for version, _ in device.boot()] == old
    for begin, end in ((start, len(tried.op_end_ns)), (tried, device.flash.ops)):
        for op in range(1, end - len(begin.op_end_ns) + 1):
            device.flash.restore(begin)
            device.flash.arm_cut(op, tear, seed=op)
            with pytest.raises(PowerCut):
                device.boot()
            device.flash.power_on()
            booted = device.boot()
            assert [version for version, _ in booted] in (old, new), (op, booted)
            device.confirm()
            assert [version for version, _ in device.boot()] == [version for version, _ in booted]


def raising(number: int) -> bytes:
    """The next image, with a higher security counter than the one in the slot."""
    return sign_image(
        Stream(number + 2, 7).block(300).tobytes()[:1100],
        version_of(number, 1),
        SIGNER,
        security_counter=2,
        deterministic=True,
    )


@pytest.mark.parametrize("layout", ALGORITHMS)
def test_a_set_cut_between_its_swaps_goes_back_as_a_whole_though_its_counters_are_higher(layout: str) -> None:
    for operation in range(1, 200):
        device = TwoImages(layout, ("none", "none"))
        for number, image in enumerate(device.images):
            place = device.swapping.target(image)
            place.area.erase_all()
            place.area.write_bytes(place.offset, raising(number))
            device.swapping.request(image)
        device.flash.arm_cut(operation, "none")
        try:
            device.boot()
            break
        except PowerCut:
            device.flash.power_on()
        device.boot()
        assert [image.security_counter for image in device.images] == [1, 1], operation
        assert device.boot() == [(version_of(0, 0), False), (version_of(1, 0), False)], operation
    else:
        raise AssertionError("the boot has more operations than were tried")
