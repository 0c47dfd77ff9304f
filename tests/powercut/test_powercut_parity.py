"""A sweep remembers and breaks off; what it finds is what a plain replay of every cut finds.

This is the proof that `Device.checkpoint` names all that matters and that effects are exact: whoever adds a
layout or a checkpoint is held to it here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simlib.device import layouts
from simlib.device.bootloader.swapping import Swapping
from simlib.device.powercut import First, Harm
from simlib.device.trailer import Trailer

Compare = Callable[..., Any]
Options = Callable[..., Any]

KINDS = [
    (layout, payload, encrypted)
    for layout in layouts.names()
    for payload, encrypted in (("full", False), ("delta", False), ("full", True), ("delta", True))
    if (payload == "full" or layouts.get(layout).patches) and (not encrypted or layouts.get(layout).encrypts)
]


@pytest.mark.parametrize(("layout", "payload", "encrypted"), KINDS)
def test_the_sweep_of_any_layout_and_payload_is_what_a_replay_finds(
    options: Options, same_as_replayed: Compare, layout: str, payload: str, encrypted: bool
) -> None:
    result, plainly = same_as_replayed(options(layout=layout, payload=payload, encrypted=encrypted), step=11)
    assert result.ops >= 5
    assert plainly


@pytest.mark.parametrize("erased_value", [0xFF, 0x00])
@pytest.mark.parametrize("write_size", [1, 8, 32])
@pytest.mark.parametrize("layout", layouts.names())
def test_the_sweep_is_what_a_replay_finds_at_any_write_size_and_erased_value(
    options: Options, same_as_replayed: Compare, layout: str, write_size: int, erased_value: int
) -> None:
    same_as_replayed(
        options(
            layout=layout,
            sector_size_bytes=1024,
            write_size_bytes=write_size,
            erased_value=erased_value,
            seed=write_size,
        ),
        step=23,
    )


@pytest.mark.parametrize(
    ("layout", "payload", "encrypted"),
    [pytest.param(*kind, marks=pytest.mark.full if kind[0].startswith("swap-") else ()) for kind in KINDS],
)
def test_every_single_cut_is_what_a_replay_finds(
    options: Options, same_as_replayed: Compare, layout: str, payload: str, encrypted: bool
) -> None:
    same_as_replayed(options(layout=layout, payload=payload, encrypted=encrypted))


def test_they_agree_on_a_boot_loader_that_bricks_too(
    options: Options, same_as_replayed: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trailer, "write_status_unit", lambda self, unit: None)
    result, _ = same_as_replayed(options(layout="swap-move"), step=3)
    assert {First.NEW, First.OLD, First.BRICKED} == {fate.first for fate in result.worst}


def test_they_agree_on_an_updater_that_gets_stuck_too(
    options: Options, same_as_replayed: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What an earlier request has left is neither erased with the slot nor before it is written over.
    monkeypatch.setattr(Swapping, "prepare", lambda self, device: None)
    monkeypatch.setattr(Trailer, "is_clean", lambda self: True)
    result, _ = same_as_replayed(options(layout="swap-move"), step=2)
    assert Harm.UPDATE_REFUSED in {fate.harm for fate in result.worst}
    assert not any(fate.bricked for fate in result.worst)
