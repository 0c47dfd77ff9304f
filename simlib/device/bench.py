"""The bench: one device with real bytes as a pure function, (state, event) → (state, verdict, cost).

A *state* is the hash of a device's configuration, its partitions' content, its security counter, the image
that runs and whether there is power. Wear and the meter's past are not part of it: no verdict depends on
them. An *event* is an install, a boot or a confirmation, whole or ended by a power cut.

Each distinct transition runs once, on the updater, the boot loader and the flash model, and is remembered
(`simlib.device.memo`) under the hash of all it depends on. A state's bytes are made only when a transition
has to run: the bench knows by which event a state came from which other one, and repeats that.

Leaves to others: when events happen, and to whom (the fleet).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simlib.device.bootloader import boot
from simlib.device.config import DeviceConfig
from simlib.device.device import Device, DeviceState, new_device
from simlib.device.events import Boot, Confirm, Cut, Event, Install, flip_bit
from simlib.device.flash import FlashState, PowerCut
from simlib.device.forgery import forge
from simlib.device.layouts import max_image_bytes
from simlib.device.memo import Memo, memo_key
from simlib.device.running import running_digest, signed_digest
from simlib.device.transition import Transition, pack, unpack
from simlib.device.updater import confirm_update, install
from simlib.errors import InputError, Reason
from simlib.scenario.calibration import core_profile, flash_profile

if TYPE_CHECKING:
    from simlib.release import Artefact, Release

__all__ = ["Bench", "Boot", "Confirm", "Cut", "Event", "Install", "Transition"]

SNAPSHOT_BYTES: Final = 256 << 20
"""How much flash content a bench keeps at hand; what falls out is made again when it is needed."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """How a state came about: from the factory, running chain index `base`, or by `event` from `parent`."""

    config: DeviceConfig
    base: int
    parent: str | None
    event: Event | None
    image: str | None  # the running one, by its signed digest
    powered: bool


class Bench:
    """The transition function of one release's devices. `memo` None: nothing is kept for other benches."""

    def __init__(self, release: Release, memo: Memo | None = None) -> None:
        self._release = release
        self._memo = memo
        self._artefacts = {artefact.name: artefact for artefact in release.artefacts}
        self._digests = tuple(signed_digest(image) for image in release.images)
        self._chain = {digest: n for n, digest in enumerate(self._digests)}
        self._keys = _key_names(release)
        self._artefact_names = {a.name: f"{_hash(a.manifest)} {_hash(a.blob)}" for a in release.artefacts}
        self._origins: dict[str, _Origin] = {}
        self._transitions: dict[tuple[str, Event], Transition] = {}
        self._snapshots: OrderedDict[str, DeviceState] = OrderedDict()
        self._snapshot_bytes = 0
        self._devices: dict[DeviceConfig, Device] = {}
        self.executed = 0
        """How often real code ran on real bytes; a remembered transition adds nothing."""

    def start(self, config: DeviceConfig, base: int) -> str:
        """The state of a device fresh from the factory, running the chain's image number `base`.

        Raises:
            InputError: there is no such image, or it is larger than the boot loader takes and would not run.
        """
        if not 0 <= base < len(self._release.images):
            raise InputError(f"base: found {base}, expected 0 to {len(self._release.images) - 1}")
        self._expect_to_fit(config, base)
        image, counter = self._digests[base], self._release.security_counters[base]
        origin = _Origin(config, base, None, None, image, powered=True)
        key = memo_key("start", _facts(config), _hash(self._release.images[base]), str(counter))
        remembered = self._memo.get(key) if self._memo is not None else None
        if remembered is not None:
            state = remembered.decode()
            self._origins.setdefault(state, origin)
            return state
        device = self._factory(origin)
        state = _state_name(origin, device)
        self._origins.setdefault(state, origin)
        self._keep(state, device)
        if self._memo is not None:
            self._memo.put(key, state.encode())
        return state

    def run(self, state: str, event: Event) -> Transition:
        """What `event` does to a device in `state`, a state this bench has named before.

        Raises:
            InputError: the release has no such artefact; the state is not this bench's; the device has no
                power or runs nothing, so that only a boot can follow.
        """
        known = self._transitions.get((state, event))
        if known is not None:
            return known
        origin = self._origin(state)
        _expect_possible(origin, event)
        key = memo_key("run", state, self._keys, self._event_name(event))
        transition, image = self._recall(key) or (None, None)
        if transition is None:
            device = self._materialise(state)
            transition, image = self._execute(device, origin, event)
            self._keep(transition.state, device)
            if self._memo is not None:
                self._memo.put(key, pack(transition, image))
        self._transitions[state, event] = transition
        after = _Origin(origin.config, origin.base, state, event, image, powered=event.cut is None)
        self._origins.setdefault(transition.state, after)
        return transition

    def content(self, state: str) -> bytes:
        """Every byte of the flash of a device in `state`, from the first partition to the last."""
        self._origin(state)
        return self._materialise(state).flash.content()

    def _expect_to_fit(self, config: DeviceConfig, base: int) -> None:
        found = len(self._release.images[base])
        limit = max_image_bytes(config, encrypted=self._release.decryption_key is not None)
        if found > limit:
            raise InputError(
                f"slot_size: found {config.slot_size_bytes} bytes, which hold an image of {limit} under "
                f"{config.layout}, expected room for {self._release.firmwares[base].label}, {found} bytes"
            )

    def _execute(self, device: Device, origin: _Origin, event: Event) -> tuple[Transition, str | None]:
        """Run the real code on `device`, whose meter, counters and journal stand at nothing."""
        self.executed += 1
        flash, meter = device.flash, device.meter
        if event.cut is not None:
            flash.arm_cut(event.cut.op, event.cut.tear, seed=event.cut.op)
        verdict, image, trial, swap = Reason.NONE, origin.image, False, ""
        try:
            if isinstance(event, Install):
                verdict = install(device, (self._release.verify_key,), *self._arriving(event))
            elif isinstance(event, Boot):
                booted = boot(device)
                image = None if booted.version is None else running_digest(device)
                verdict, trial, swap = booted.reason, booted.trial, str(booted.swap)
            else:
                confirm_update(device)
        except PowerCut:
            if event.cut is None:
                raise
        if event.cut is not None:
            flash.power_on()  # so that the state's bytes can be read; its name says that there is no power
            verdict, image, trial, swap = Reason.POWER_CUT, None, False, ""
        after = _Origin(origin.config, origin.base, None, event, image, powered=event.cut is None)
        transition = Transition(
            state=_state_name(after, device),
            verdict=verdict,
            running=None if image is None else self._number(image),
            trial=trial,
            swap=swap,
            time_ns=meter.time_ns,
            flash_nj=meter.flash_nj,
            compute_nj=meter.compute_nj,
            ops=flash.ops,
            erases=flash.erases,
            bytes_written=flash.bytes_written,
            op_end_ns=tuple(flash.op_end_ns) if event.cut is None else (),
            op_end_nj=tuple(flash.op_end_nj) if event.cut is None else (),
            steps=tuple(device.journal),
        )
        return transition, image

    def _materialise(self, state: str) -> Device:
        """The device in `state`, its meter, counters and journal at nothing."""
        missing: list[str] = []
        at: str | None = state
        while at is not None and at not in self._snapshots:
            missing.append(at)
            at = self._origin(at).parent
        for name in reversed(missing):
            origin = self._origin(name)
            if origin.parent is None or origin.event is None:
                device = self._factory(origin)
                found = _state_name(origin, device)
            else:
                device = self._restored(origin.parent)
                found = self._execute(device, self._origin(origin.parent), origin.event)[0].state
            if found != name:
                raise RuntimeError(f"bench: state {name} came out as {found} when it was made again")
            self._keep(name, device)
        return self._restored(state)

    def _restored(self, state: str) -> Device:
        self._snapshots.move_to_end(state)
        origin = self._origin(state)
        device = self._devices.get(origin.config)
        if device is None:
            device = self._devices[origin.config] = self._factory(origin)
        device.restore(self._snapshots[state])
        return device

    def _factory(self, origin: _Origin) -> Device:
        release = self._release
        return new_device(
            origin.config,
            (release.verify_key,),
            release.decryption_key,
            release.images[origin.base],
            release.security_counters[origin.base],
        )

    def _keep(self, state: str, device: Device) -> None:
        """Keep the bytes of `state`, in a device that has done nothing yet."""
        if state in self._snapshots:
            self._snapshots.move_to_end(state)
            return
        content = device.flash.content()
        still = FlashState(content, (0,) * len(device.flash.wear), 0, 0, 0, (), ())
        self._snapshots[state] = DeviceState(still, device.security_counter, 0, 0, 0, ())
        self._snapshot_bytes += len(content)
        while self._snapshot_bytes > SNAPSHOT_BYTES and len(self._snapshots) > 1:
            _, dropped = self._snapshots.popitem(last=False)
            self._snapshot_bytes -= len(dropped.flash.content)

    def _recall(self, key: bytes) -> tuple[Transition, str | None] | None:
        value = self._memo.get(key) if self._memo is not None else None
        return None if value is None else unpack(value, self._chain)

    def _origin(self, state: str) -> _Origin:
        origin = self._origins.get(state)
        if origin is None:
            raise InputError(f"state: found {state!r}, expected one that this bench has named")
        return origin

    def _artefact(self, name: str) -> Artefact:
        artefact = self._artefacts.get(name)
        if artefact is None:
            raise InputError(f"artefact: found {name!r}, expected one of {', '.join(self._artefacts)}")
        return artefact

    def _arriving(self, event: Install) -> tuple[bytes, bytes]:
        """The manifest and the blob that an install is given."""
        artefact = self._artefact(event.artefact)
        manifest, blob = artefact.manifest, artefact.blob
        if event.forged is not None:
            base = None if artefact.base is None else self._release.images[artefact.base]
            manifest, blob = forge(event.forged, artefact, base, self._release.verify_key)
        return manifest, blob if event.flip_bit is None else flip_bit(blob, event.flip_bit)

    def _number(self, image: str) -> int:
        if image not in self._chain:
            raise RuntimeError(f"bench: an image that is not the release's runs: digest {image}")
        return self._chain[image]

    def _event_name(self, event: Event) -> str:
        """The event, with the hashes of the bytes it brings in place of their name.

        A forgery follows from the artefact, the publisher's key, the base that the artefact names, and code.
        """
        brings = ""
        if isinstance(event, Install):
            self._artefact(event.artefact)
            bit = event.flip_bit
            if bit is not None:
                bit %= 8 * len(self._arriving(event)[1])
            brings = f"{self._artefact_names[event.artefact]} {event.forged} {bit}"
        return f"{type(event).__name__}|{brings}|{event.cut}"


def _expect_possible(origin: _Origin, event: Event) -> None:
    if isinstance(event, Boot):
        return
    if not origin.powered:
        raise InputError(f"event: found {event} on a device without power, expected a Boot")
    if origin.image is None:
        raise InputError(f"event: found {event} on a device on which nothing runs, expected a Boot")


def _state_name(origin: _Origin, device: Device) -> str:
    parts = (_facts(origin.config), device.state_id(), origin.image or "nothing", str(origin.powered))
    return _hash("\0".join(parts).encode())


def _key_names(release: Release) -> str:
    """The keys by which a device trusts and decrypts, by their public hashes."""
    names = [release.verify_key.keyhash.hex()]
    if release.decryption_key is not None:
        public = release.decryption_key.public().public
        names.append(_hash(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)))
    return " ".join(names)


def _facts(config: DeviceConfig) -> str:
    """The configuration, and the figures behind the names in it."""
    named: tuple[Any, ...] = (config, flash_profile(config.flash), core_profile(config.core))
    lines = []
    for facts in named:
        for field in fields(facts):
            value = getattr(facts, field.name)
            shown = sorted(value.items()) if isinstance(value, Mapping) else value
            lines.append(f"{type(facts).__name__}.{field.name}={shown!r}")
    return "\n".join(lines)


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
