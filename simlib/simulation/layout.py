"""Where the columns of a compiled run lie in memory.

What most devices use is in one row of 256 bytes a device, four cache lines. What few use is in a second row
that reads as the column's default where it is zero, so that memory nobody wrote to takes no room. The other
columns of a fleet, of cohorts or of the bench's moves, are arrays of their own.
"""

from __future__ import annotations

from typing import Final

from simlib.draws import keyed
from simlib.engine.columns import Column, Layout
from simlib.lifecycle.columns import ENERGY_PHASES, NEVER, NO_ROW, Fleet

HOT_BYTES: Final = 256
_HOT: Final[dict[str, int]] = {
    "phase": 1,
    "barred": 1,
    "consent": 1,
    "agreed": 1,
    "began": 1,
    "weak": 1,
    "plan": 1,
    "error": 1,
    "outcome": 1,
    "reason": 1,
    "reported": 1,
    "waits": 1,
    "rate_class": 2,
    "cohort": 2,
    "route": 2,
    "recorded": 2,
    "artefact": 2,
    "target": 2,
    "running": 2,
    "defect": 2,
    "kind": 4,
    "state": 4,
    "wakes": 4,
    "put_off": 4,
    "tries": 4,
    "attempts": 4,
    "failures": 4,
    "installs": 4,
    "left_bytes": 4,
    "kept_bytes": 4,
    "run_bytes": 4,
    "move": 4,
    "special": 4,
    "special_boot": 4,
    "reports": 4,
    "wake_phase_ms": 8,
    "offered_ms": 8,
    "started_ms": 8,
    "confirmed_ms": 8,
    "finished_ms": 8,
    "reported_ms": 8,
    "power_at_ms": 8,
    "bytes_down": 8,
    "bytes_wasted": 8,
    "radio_uj": 8,
    "flash_uj": 8,
    "compute_uj": 8,
}
"""Columns of the first row and their widths in bytes; the parts of the energy follow them."""

_RARE: Final[dict[str, tuple[int, int]]] = {
    "until_ms": (8, NEVER),
    "sick_ms": (8, NO_ROW),
    "free_bytes": (8, NO_ROW),
    "onset_ms": (8, 0),
    "use_uj_per_hour": (8, 0),
    "look": (8, 0),
    "session_until_ms": (8, 0),
    "away_from_ms": (8, NEVER),
    "away_to_ms": (8, 0),
    "gap_at_ms": (8, 0),
    "notified_ms": (8, -1),
    "wait_ms": (8, 0),
    "session_first": (8, 0),
    "heard_bytes": (8, 0),
    "drain_from_ms": (8, NO_ROW),
    "leaked_uj": (8, 0),
    "cell_since_ms": (8, 0),
    "start_uj": (8, NO_ROW),
    "charged_ms": (8, 0),
    "drained_uj": (8, 0),
    "bytes_up": (8, 0),
    "bytes_back": (8, 0),
    "missing": (8, 0),
    "zone_ms": (4, 0),
    "absences": (4, 0),
    "gaps": (4, 0),
    "asked": (4, 0),
    "round": (4, 0),
    "sessions": (4, 0),
    "cells": (4, 0),
    "resent": (4, 0),
    "background": (1, 1),
    "notifiable": (1, 0),
    "foreground": (1, 0),
    "stalls": (1, 0),
    "heard_all": (1, 0),
    "going_back": (1, 0),
    "browned": (1, 0),
    "backed_up": (1, 0),
    "shown": (1, 0),
    "settings_lost": (1, 0),
}
"""Columns of the second row: width in bytes, and what zero means."""

_SLOT_HOT, _SLOT_RARE, _SLOT_KEYS, _SLOT_PLAIN = 0, 1, 2, 3
_THROUGH: Final = {"rx_pj_per_byte": "route", "tx_pj_per_byte": "route", "link": "rate_class"}
"""Columns that are looked up through another."""


def _packed(
    widths: dict[str, int], slot: int, stride: int, defaults: dict[str, int], *, spare: bool
) -> dict[str, Column]:
    """Columns one after another in a row, the widest first, so that each lies at a multiple of its width."""
    columns, offset = {}, 0
    for name, width in sorted(widths.items(), key=lambda each: -each[1]):
        columns[name] = Column(slot, width, stride, offset, defaults.get(name, 0), spare)
        offset += width
    return columns


RARE_BYTES: Final = -(-sum(width for width, _ in _RARE.values()) // 8) * 8
HOT: Final = _packed(_HOT, _SLOT_HOT, HOT_BYTES, {}, spare=False)
RARE: Final = _packed(
    {name: width for name, (width, _) in _RARE.items()},
    _SLOT_RARE,
    RARE_BYTES,
    {name: default for name, (_, default) in _RARE.items()},
    spare=True,
)
OF_THE_LOOP: Final = ("rate_class", "waits", "missing", "route")
"""Columns of the rows that are no life-cycle's."""


def plain_columns(names: tuple[str, ...], first: int = 0) -> dict[str, Column]:
    """A directory entry for each name: arrays of 64-bit integers."""
    return {name: Column(first + number) for number, name in enumerate(names)}


def fleet_layout() -> Layout:
    """Where the compiled life-cycle finds the columns of a `Fleet`."""
    known = {**HOT, **RARE}
    others = [name for name in Fleet._fields if name not in known and name not in ("key", "phase_uj")]
    layout = {**known, **plain_columns(tuple(others), _SLOT_PLAIN)}
    for name, through in _THROUGH.items():
        layout[name] = Column(layout[name].slot, through=through)
    layout["key"] = Column(_SLOT_KEYS, derived=keyed)
    layout["phase_uj"] = Column(_SLOT_PLAIN + len(others), grid=ENERGY_PHASES)
    return layout
