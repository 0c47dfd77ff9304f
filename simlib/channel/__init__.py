"""How bytes reach a device: a channel's rates, radio energy and reach, and LoRa multicast on real lines."""

from simlib.channel.hops import DeviceClass
from simlib.channel.multicast import Multicast, MulticastPlan, Outcome, outcome, received
from simlib.channel.profiles import kinds, radios
from simlib.channel.resolve import Channel, resolve

__all__ = [
    "Channel",
    "DeviceClass",
    "Multicast",
    "MulticastPlan",
    "Outcome",
    "kinds",
    "outcome",
    "radios",
    "received",
    "resolve",
]
