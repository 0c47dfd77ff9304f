"""The one life-cycle of a device in a rollout: phases, columns, and the functions every clock runs."""

from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.phases import LEGAL_MOVES, Phase
from simlib.lifecycle.steps import advance, transfer_ended
from simlib.lifecycle.waiting import next_checkin

__all__ = ["LEGAL_MOVES", "Fleet", "Phase", "advance", "next_checkin", "transfer_ended"]
