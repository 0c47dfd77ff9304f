"""What is remembered of an event is what the event does, whatever else the flash holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simlib.device import layouts
from simlib.device.powercut.case import build_case
from simlib.device.powercut.cells import Situation, put
from simlib.device.powercut.course import moments, walk
from simlib.device.powercut.event import BOOT, CONFIRM
from simlib.device.powercut.replay import plainly
from simlib.device.powercut.runner import Runner
from simlib.draws import Stream

Options = Callable[..., Any]
TRIALS = 60


def disturbed(cells: tuple[bytes, ...], stream: Stream) -> tuple[bytes, ...]:
    """The same flash with a few bytes, or a sector, different somewhere."""
    after, size = list(cells), len(cells[0])
    for _ in range(stream.below(4)):
        n = (1, 4, 64, size)[stream.below(4)]
        offset = stream.below(len(cells) * size // n) * n
        fill = (0x00, 0xFF, 0x5A)[stream.below(3)]
        put(after, offset, bytes([fill]) * n)
    return tuple(after)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("layout", layouts.names())
def test_an_event_remembered_leaves_every_byte_as_it_would_by_itself(
    options: Options, layout: str, encrypted: bool
) -> None:
    if encrypted and not layouts.get(layout).encrypts:
        pytest.skip("nothing is encrypted there")
    case = build_case(options(layout=layout, encrypted=encrypted, payload="full"))
    runner = Runner(case.make)
    phases = walk(runner, case)
    course = list(moments(phases, 1, sum(phase.ops for phase in phases)))
    events = (BOOT, BOOT, BOOT, CONFIRM, case.update, case.further["old"], case.search["new"])
    stream = Stream(1, 1)
    executed = runner.executed
    for _ in range(TRIALS):
        moment = course[stream.below(len(course))]
        event = events[stream.below(len(events))]
        slot = runner.device.layout.slots[stream.below(2) if "secondary" in runner.device.layout.slots else 0]
        at = Situation(disturbed(moment.cells, stream), 1 + stream.below(3), slot)
        told, left, _ = runner.run(event, at)
        assert (told, left) == plainly(case, event, at)
    assert 0 < runner.executed - executed < TRIALS
