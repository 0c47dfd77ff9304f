"""The one life-cycle of a device in a rollout: phases, columns, and the functions every clock runs."""

from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.phases import LEGAL_MOVES, Phase
from simlib.lifecycle.steps import advance, recover
from simlib.lifecycle.transfer import transfer_ended
from simlib.lifecycle.waiting import next_checkin, notify

__all__ = ["LEGAL_MOVES", "Fleet", "Phase", "advance", "next_checkin", "notify", "recover", "transfer_ended"]
