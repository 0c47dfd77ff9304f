"""The bench: one device with real bytes as a pure function, (state, event) → (state, verdict, cost).

A *state* (`simlib.device.state`) is a device's configuration, the digests of its flash's sectors, its
security counter, the image that runs and whether there is power. An *event* is an install, a boot or a
confirmation, whole or ended by a power cut.

What an event does, it does to every device in which it looks at the same bytes. Each such *effect* is worked
out once, on the updater, the boot loader and the flash model, and remembered (`simlib.device.recollection`)
by the sectors that were looked at: devices that differ in what an event never reads, say the residue of an
update that a power cut ended, share it. A state's bytes are made only when an event has to be worked out on
them: from its sectors, or by repeating the event that it came from. An event that power cuts is played back
from the same event whole (`simlib.device.tape`).

A bench is for one thread. Leaves to others: when events happen, and to whom (the fleet).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from simlib.device.arrivals import Arrivals, sha256_hex
from simlib.device.config import DeviceConfig
from simlib.device.device import Device, DeviceState, new_device
from simlib.device.events import Boot, Confirm, Cut, Event, Install
from simlib.device.execution import Done, execute
from simlib.device.flash import FlashState
from simlib.device.layouts import max_image_bytes
from simlib.device.memo import Memo, memo_key
from simlib.device.recollection import Recollection
from simlib.device.running import signed_digest
from simlib.device.sector_store import SectorStore
from simlib.device.state import State, config_facts, replaced
from simlib.device.tape import Tape
from simlib.device.transition import DIGEST_BYTES, Effect, Transition
from simlib.errors import InputError

if TYPE_CHECKING:
    from simlib.release import Release

__all__ = ["Bench", "Boot", "Confirm", "Cut", "Event", "Install", "Transition"]

TAPE_BYTES: Final = 128 << 20
"""How much of tapes is kept; what falls out is recorded again when it is needed."""


class Bench:
    """The transition function of one release's devices. `memo` None: nothing is kept for other benches."""

    def __init__(self, release: Release, memo: Memo | None = None) -> None:
        self._release = release
        self._memo = memo
        self._recollection = Recollection(memo)
        self._arrivals = Arrivals(release)
        self._digests = tuple(signed_digest(image) for image in release.images)
        self._chain = {digest: n for n, digest in enumerate(self._digests)}
        self._states: dict[str, State] = {}
        self._transitions: dict[tuple[str, Event], Transition] = {}
        self._sectors = SectorStore()
        self._own_digests: dict[bytes, bytes] = {}  # one object for each digest, however many states have it
        self._tapes: list[tuple[bytes, Tape]] = []  # by question; the last used is the last
        self._devices: dict[DeviceConfig, Device] = {}
        self._facts: dict[DeviceConfig, str] = {}
        self.executed = 0
        """How often an event was worked out on real bytes; what is remembered or on a tape adds nothing."""

    @property
    def release(self) -> Release:
        """The release whose devices these are."""
        return self._release

    def start(self, config: DeviceConfig, base: int) -> str:
        """The state of a device fresh from the factory, running the chain's image number `base`.

        Raises:
            InputError: there is no such image, or it is larger than the boot loader takes and would not run.
        """
        if not 0 <= base < len(self._release.images):
            raise InputError(f"base: found {base}, expected 0 to {len(self._release.images) - 1}")
        self._expect_to_fit(config, base)
        counter, facts = self._release.security_counters[base], self._facts_of(config)
        key = memo_key("start", facts, sha256_hex(self._release.images[base]))
        stored = self._memo.get(key) if self._memo is not None else None
        if stored is None:
            flash = self._factory(config, base).flash
            stored = b"".join([self._sectors.put(flash.sector(n)) for n in range(flash.sectors)])
            if self._memo is not None:
                self._memo.put(key, stored)
        digests = tuple(self._own(stored[n : n + DIGEST_BYTES]) for n in range(0, len(stored), DIGEST_BYTES))
        return self._named(State(config, digests, counter, self._digests[base], True, base))

    def run(self, state: str, event: Event) -> Transition:
        """What `event` does to a device in `state`, a state this bench has named before.

        Raises:
            InputError: the release has no such artefact; the state is not this bench's; the device has no
                power or runs nothing, so that only a boot can follow.
        """
        known = self._transitions.get((state, event))
        if known is not None:
            return known
        before = self._state(state)
        _expect_possible(before, event)
        question = self._question(before, event)
        effect = self._recollection.find(question, before.digests)
        if effect is None:
            effect, looked_at = self._worked_out(state, event)
            self._recollection.add(question, looked_at, before.digests, effect)
        running = None if effect.image is None else self._number(effect.image)
        after = self._named(self._after(state, event, effect))
        transition = self._transitions[state, event] = Transition.of(effect, after, running)
        return transition

    def content(self, state: str) -> bytes:
        """Every byte of the flash of a device in `state`, from the first partition to the last."""
        return self._bytes_of(state)

    def _question(self, before: State, event: Event) -> bytes:
        """All that the effect of an event depends on, but for the flash.

        A boot is the same whatever ran before it.
        """
        image = "" if isinstance(event, Boot) else str(before.image)
        facts, counter = self._facts_of(before.config), str(before.security_counter)
        name = self._arrivals.event_name(event)
        return memo_key("event", facts, self._arrivals.keys, counter, image, name)

    def _after(self, parent: str, event: Event, effect: Effect) -> State:
        before = self._state(parent)
        return State(
            before.config,
            replaced(before.digests, effect.changed, [self._own(digest) for digest in effect.digests]),
            effect.security_counter,
            effect.image,
            event.cut is None,
            before.base,
            parent,
            event,
        )

    def _expect_to_fit(self, config: DeviceConfig, base: int) -> None:
        found = len(self._release.images[base])
        limit = max_image_bytes(config, encrypted=self._release.decryption_key is not None)
        if found > limit:
            raise InputError(
                f"slot_size: found {config.slot_size_bytes} bytes, which hold an image of {limit} under "
                f"{config.layout}, expected room for {self._release.firmwares[base].label}, {found} bytes"
            )

    def _worked_out(self, state: str, event: Event) -> Done:
        if event.cut is None:
            return self._execute(self._materialise(state), self._state(state), event)
        tape = self._tape(state, replace(event, cut=None))
        device = self._device(self._state(state))
        return tape.play(device, self._bytes_of(state), event.cut, self._sectors)

    def _tape(self, state: str, event: Event) -> Tape:
        """Of `event`, not cut, on a device in `state` or on one on which it goes the same way."""
        before = self._state(state)
        question = self._question(before, event)
        kept = next((k for k in self._tapes if k[0] == question and k[1].serves(before.digests)), None)
        if kept is not None:
            self._tapes.remove(kept)
        else:
            device = self._materialise(state)
            kept = question, Tape(device)
            self._execute(device, before, event)
            kept[1].stop(before.digests)
        self._tapes.append(kept)
        while sum(tape.size_bytes for _, tape in self._tapes) > TAPE_BYTES and len(self._tapes) > 1:
            del self._tapes[0]
        return kept[1]

    def _execute(self, device: Device, before: State, event: Event) -> Done:
        self.executed += 1
        sectors, flash = self._sectors, device.flash
        return execute(device, event, self._arrivals, before.image, lambda n: sectors.put(flash.sector(n)))

    def _bytes_of(self, state: str) -> bytes:
        """The flash of a device in `state`: its sectors, or what comes of repeating how it came about."""
        missing: list[str] = []
        at = self._state(state)
        content = self._sectors.content(at.digests)
        while content is None and at.parent is not None:
            missing.append(state)
            state, at = at.parent, self._state(at.parent)
            content = self._sectors.content(at.digests)
        if content is None:
            content = self._factory(at.config, at.base).flash.content()
        for name in reversed(missing):
            after = self._state(name)
            if after.event is None or after.parent is None:
                raise RuntimeError(f"bench: state {name} came from nowhere")
            device = self._restored(at, content)
            effect, _ = self._execute(device, at, after.event)
            found = self._after(after.parent, after.event, effect).name(self._facts_of(at.config))
            if found != name:
                raise RuntimeError(f"bench: state {name} came out as {found} when it was made again")
            at, content = after, device.flash.content()
        return content

    def _materialise(self, state: str) -> Device:
        """The device in `state`, its meter, counters, journal and marks at nothing."""
        return self._restored(self._state(state), self._bytes_of(state))

    def _restored(self, at: State, content: bytes) -> Device:
        device = self._device(at)
        still = FlashState(content, (0,) * device.flash.sectors, 0, 0, 0, (), ())
        device.restore(DeviceState(still, at.security_counter, 0, 0, 0, ()))
        return device

    def _device(self, at: State) -> Device:
        """The one device of this configuration, in whichever state it was left."""
        device = self._devices.get(at.config)
        if device is None:
            device = self._devices[at.config] = self._factory(at.config, at.base)
        return device

    def _factory(self, config: DeviceConfig, base: int) -> Device:
        release = self._release
        counter = release.security_counters[base]
        return new_device(
            config, (release.verify_key,), release.decryption_key, release.images[base], counter
        )

    def _named(self, state: State) -> str:
        """The name of `state`, which this bench knows from now on."""
        name = state.name(self._facts_of(state.config))
        self._states.setdefault(name, state)
        return name

    def _own(self, digest: bytes) -> bytes:
        return self._own_digests.setdefault(digest, digest)

    def _facts_of(self, config: DeviceConfig) -> str:
        facts = self._facts.get(config)
        if facts is None:
            facts = self._facts[config] = config_facts(config)
        return facts

    def _state(self, name: str) -> State:
        state = self._states.get(name)
        if state is None:
            raise InputError(f"state: found {name!r}, expected one that this bench has named")
        return state

    def _number(self, image: str) -> int:
        if image not in self._chain:
            raise RuntimeError(f"bench: an image that is not the release's runs: digest {image}")
        return self._chain[image]


def _expect_possible(before: State, event: Event) -> None:
    if isinstance(event, Boot):
        return
    if not before.powered:
        raise InputError(f"event: found {event} on a device without power, expected a Boot")
    if before.image is None:
        raise InputError(f"event: found {event} on a device on which nothing runs, expected a Boot")
