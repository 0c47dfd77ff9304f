"""Power cut at every flash operation of an install, its swap, its confirmation and its revert.

After each cut the device must boot the old or the new image, reach a state in which it stays, and take a
complete further update. Cuts that lead to the same bytes are followed up once: what comes after depends on
nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from simlib.device import Device, PowerCut
from simlib.device.bootloader import boot, confirm
from simlib.errors import Reason

KIB = 1024
TEARS = ["none", "partial", "garbage"]
Run = Callable[[Device], None]


def count_ops(device: Device, run: Run) -> int:
    before = device.flash.ops
    run(device)
    return device.flash.ops - before


class Follow:
    """Boots a device after a cut until it stays, then updates it once more."""

    def __init__(self, staged: Callable[..., None], further: bytes) -> None:
        self.staged = staged
        self.further = further
        self.settled: dict[str, str] = {}

    def __call__(self, device: Device, *, confirming: bool) -> str:
        """The version that ran first after the cut."""
        first = boot(device)
        assert first.version is not None, f"bricked: {device.journal[-3:]}"
        assert first.reason is Reason.NONE
        stays = not first.trial or confirming
        key = f"{device.state_id()} {stays}"
        if key not in self.settled:
            if first.trial and confirming:
                confirm(device)
            self.settled[key] = self._settle(device, str(first.version) if stays else "1.1.0")
        return str(first.version)

    def _settle(self, device: Device, version: str) -> str:
        second, third = boot(device), boot(device)
        assert [str(second.version), str(third.version)] == [version, version]
        assert not second.trial
        self.staged(device, self.further)
        tried = boot(device)
        assert (str(tried.version), tried.trial) == ("1.3.0", True), "stuck"
        confirm(device)
        assert str(boot(device).version) == "1.3.0", "stuck"
        return str(second.version)


def sweep(device: Device, run: Run, tear: str, follow: Follow) -> list[str]:
    """The version that first ran after a cut at operation 1, 2, …"""
    start = device.snapshot()
    ops = count_ops(device, run)
    booted = []
    for op in range(1, ops + 1):
        device.restore(start)
        device.flash.arm_cut(op, tear, seed=op)
        with pytest.raises(PowerCut):
            run(device)
        device.flash.power_on()
        booted.append(follow(device, confirming=op % 2 == 0))
    device.restore(start)
    return booted


@pytest.mark.parametrize("tear", TEARS)
def test_no_cut_in_an_update_of_48_kib_or_its_revert_bricks_or_sticks(
    bench: object, staged: object, tear: str
) -> None:
    old, new = bench.image("1.1.0", 45 * KIB), bench.image("1.2.0", 48 * KIB)
    device = bench.device(old)
    start = device.snapshot()
    request = count_ops(device, lambda d: staged(d, new))
    swap = count_ops(device, boot)
    revert = count_ops(device, boot)
    assert str(boot(device).version) == "1.1.0"
    device.restore(start)

    def update_and_revert(d: Device) -> None:
        staged(d, new)
        boot(d)
        boot(d)

    follow = Follow(staged, bench.image("1.3.0", 30 * KIB))
    booted = sweep(device, update_and_revert, tear, follow)
    assert len(booted) == request + swap + revert
    # A torn copy_done still says that the swap is complete, so the next boot takes the trial for over.
    after = "1.1.0" if tear == "garbage" else "1.2.0"
    assert booted == ["1.1.0"] * request + ["1.2.0"] * (swap - 1) + [after] + ["1.1.0"] * revert


@pytest.mark.parametrize("tear", TEARS)
def test_a_cut_in_the_confirmation_leaves_it_done_or_reverts(
    bench: object, staged: object, tear: str
) -> None:
    device = bench.device(bench.image("1.1.0", 48 * KIB))
    staged(device, bench.image("1.2.0", 48 * KIB))
    boot(device)
    booted = sweep(device, confirm, tear, Follow(staged, bench.image("1.3.0", 48 * KIB)))
    assert booted == (["1.2.0"] if tear == "garbage" else ["1.1.0"])


@pytest.mark.parametrize(
    ("write_size", "erased", "encrypted"),
    [(unit, erased, False) for unit in (1, 4, 8, 16, 32) for erased in (0xFF, 0x00)]
    + [(4, 0xFF, True), (32, 0x00, True)],
)
def test_no_cut_bricks_or_sticks_at_any_write_size_erased_value_or_cipher(
    bench: object, staged: object, write_size: int, erased: int, encrypted: bool
) -> None:
    bench = type(bench)(bench.with_config(write_size_bytes=write_size, erased_value=erased).config, encrypted)
    bench = bench.with_config(slot_size_bytes=8 * 4096)
    new = bench.image("1.2.0", 7 * KIB)
    device = bench.device(bench.image("1.1.0", 5 * KIB))

    def update_and_revert(d: Device) -> None:
        staged(d, new)
        boot(d)
        boot(d)

    follow = Follow(staged, bench.image("1.3.0", 7 * KIB))
    for tear in TEARS:
        booted = Counter(sweep(device, update_and_revert, tear, follow))
        assert set(booted) == {"1.1.0", "1.2.0"}
        assert booted["1.2.0"] > 40


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_permanent_update_cut_anywhere_ends_in_one_of_the_images(
    bench: object, staged: object, encrypted: bool
) -> None:
    bench = type(bench)(bench.config, encrypted)
    new = bench.image("1.2.0", 9 * KIB)
    device = bench.device(bench.image("1.1.0", 5 * KIB))

    def update(d: Device) -> None:
        staged(d, new, permanent=True)
        boot(d)

    follow = Follow(staged, bench.image("1.3.0", 9 * KIB))
    for tear in TEARS:
        assert set(sweep(device, update, tear, follow)) == {"1.1.0", "1.2.0"}


def test_a_second_cut_during_the_recovery_does_no_harm(bench: object, staged: object) -> None:
    bench = bench.with_config(slot_size_bytes=8 * 4096)
    new = bench.image("1.2.0", 5 * KIB)
    device = bench.device(bench.image("1.1.0", 5 * KIB))
    start = device.snapshot()
    follow = Follow(staged, bench.image("1.3.0", 5 * KIB))

    def update_and_revert(d: Device) -> None:
        staged(d, new)
        boot(d)
        boot(d)

    ops = count_ops(device, update_and_revert)
    seconds = 0
    recovered: set[tuple[str, str]] = set()
    for op in range(1, ops + 1):
        for tear in TEARS:
            device.restore(start)
            device.flash.arm_cut(op, tear, seed=op)
            with pytest.raises(PowerCut):
                update_and_revert(device)
            device.flash.power_on()
            cut = device.snapshot()
            if (device.state_id(), tear) in recovered:
                continue
            recovered.add((device.state_id(), tear))
            recovery = count_ops(device, boot)
            for second in range(1, recovery + 1, 9):
                device.restore(cut)
                device.flash.arm_cut(second, tear, seed=second)
                with pytest.raises(PowerCut):
                    boot(device)
                device.flash.power_on()
                follow(device, confirming=True)
                seconds += 1
    assert seconds > 400


@pytest.mark.parametrize("tear", TEARS)
def test_a_refused_candidate_whose_erase_is_cut_is_still_refused(
    bench: object, staged: object, stranger: object, tear: str
) -> None:
    bench = bench.with_config(slot_size_bytes=6 * 4096)
    device = bench.device(bench.image("1.1.0", 9000))
    staged(device, bench.image("1.2.0", 9000, signer=stranger))
    start = device.snapshot()
    ops = count_ops(device, boot)
    assert ops == 6 + 1
    for op in range(1, ops + 1):
        device.restore(start)
        device.flash.arm_cut(op, tear, seed=op)
        with pytest.raises(PowerCut):
            boot(device)
        device.flash.power_on()
        assert [str(boot(device).version) for _ in range(2)] == ["1.1.0", "1.1.0"]
        staged(device, bench.image("1.3.0", 9000))
        assert str(boot(device).version) == "1.3.0"
