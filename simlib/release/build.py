"""Building a release from its specification: the chain signed, its targets shipped in full and as patches.

Every firmware of the chain is signed with one key, since each older one is what some device runs. All secrets
are derived from the specification's seed, so that the same specification gives the same bytes on every
machine. No signature leaves anything to chance either: it is part of the images that patches are made of,
and would change their lengths.

The main release, `Release.primary`, is the newest of the specification's chain. There may be other targets:
a stepping stone that older devices have to pass through, a release before it that is still in flight, and
what is offered after a halt (`simlib.release.recovery`), which may stand behind the main one in the chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from simlib.errors import InputError
from simlib.firmware.firmware import Firmware
from simlib.release.artefact import Artefact
from simlib.release.choosing import made_for
from simlib.release.content_keys import content_key_for
from simlib.release.recovery import Chain, Recovery, plan_chain
from simlib.release.targets import Member, Publisher
from simlib.scenario.model import ReleaseSpec
from simlib.security.encryption import decrypt_image
from simlib.security.keys import DecryptionKey, SigningKey, VerifyKey
from simlib.security.signing import sign_image
from simlib.security.stores import KeyStore, MemoryStore

_PREFERENCE: Final = ("delta", "compressed", "full")
HEADER_SIZE: Final = 0x200
"""MCUboot's usual header on Cortex-M, where a vector table of 128 entries must lie on its own size [byte]."""


@dataclass(frozen=True)
class Release:
    """A chain of firmware, signed, and what devices are offered to reach its targets.

    `images` lie as in a primary slot, payload in the clear, without padding; its index and that of
    `firmwares` and `security_counters` is the chain's, newest last. `artefacts` begins with the primary's,
    the full one first; those of the other targets follow, oldest target first, each with its full one first.
    """

    firmwares: tuple[Firmware, ...]
    images: tuple[bytes, ...]
    wire_image: bytes  # the primary as shipped; any other target's is its full artefact's blob
    artefacts: tuple[Artefact, ...]
    signing_key: SigningKey
    verify_key: VerifyKey
    decryption_key: DecryptionKey | None
    security_counters: tuple[int, ...]
    primary: int  # chain index of the main release
    recovery: int | None  # chain index of what is offered after a halt
    keys: str  # kind of the store that the private keys are in

    @property
    def targets(self) -> tuple[int, ...]:
        """The chain indices that artefacts lead to, the primary first."""
        return tuple(dict.fromkeys(artefact.target for artefact in self.artefacts))

    def full_for(self, target: int | None = None) -> Artefact:
        """The full artefact that leads to chain index `target`; None: to the primary.

        Raises:
            InputError: no artefact leads there.
        """
        wanted = self.primary if target is None else target
        for artefact in self.artefacts:
            if artefact.target == wanted and artefact.kind == "full":
                return artefact
        raise InputError(f"target: found {wanted}, expected one of {', '.join(map(str, self.targets))}")

    def artefacts_for(self, base: int | None, target: int | None = None) -> tuple[Artefact, ...]:
        """What leads from the chain's number `base` to `target`; None: to the primary. The best comes first.

        The patch from that base if there is one, the compressed artefact if there is one, the full one. With
        `base` None no patch. Which of them a device can take depends on the device
        (`simlib.device.fitness`).

        Raises:
            InputError: the chain has no such member, or no artefact leads to the target.
        """
        if base is not None and not 0 <= base < len(self.images):
            raise InputError(f"base: found {base}, expected 0 to {len(self.images) - 1}")
        full = self.full_for(target)
        there = [a for a in self.artefacts if a.target == full.target and a.base in (None, base)]
        return tuple(sorted(there, key=lambda a: _PREFERENCE.index(a.kind)))


def build_release(
    spec: ReleaseSpec,
    bases: Collection[int] | None = None,
    *,
    targets: Collection[int] | None = None,
    recovery: Recovery | None = None,
    keys: KeyStore | None = None,
    populations: Sequence[Fraction] = (),
) -> Release:
    """Sign the chain of `spec` and make the artefacts for its primary, its `targets` and its `recovery`.

    `bases` are the chain indices older than the primary that patches are made from, beside the primary
    itself; None: every one. `targets` are chain indices; None: the stepping stones of `spec` and its releases
    in flight, which count backwards from the primary. To an ordinary target there are patches from every
    older base; to the recovery from every other one, newer or older; of these, as many as `spec.patch_limit`
    says. `populations` are what they may be chosen by: how many devices, in any unit, run the firmware
    1, 2, … releases behind the primary. `keys` is where the private keys are kept; None: in memory, whatever
    `spec` says.

    Raises:
        InputError: the chain cannot be loaded or signed, a base is not older than the primary, the chain has
            no such target, it has nothing to recover with, or two artefacts would have one name.
    """
    chain = plan_chain(spec, recovery)
    _check_bases(chain, bases)
    others = _other_targets(spec, chain, targets)
    keys = MemoryStore() if keys is None else keys
    signing_key = keys.signing_key(spec.signature, spec.seed, "release signing key")
    decryption_key = None
    if spec.encrypted:
        decryption_key = keys.decryption_key(spec.key_wrap, spec.seed, "device decryption key")
    counters = _security_counters(spec, len(chain.firmwares))
    members = tuple(
        _signed(spec, n, firmware, counter, signing_key, decryption_key)
        for n, (firmware, counter) in enumerate(zip(chain.firmwares, counters, strict=True))
    )
    devices = {chain.primary - behind: share for behind, share in enumerate(populations, start=1)}
    publisher = Publisher(spec, signing_key, decryption_key, devices)
    artefacts: list[Artefact] = []
    for target in (chain.primary, *others):
        sources = [members[n] for n in made_for(spec, _sources(spec, chain, target, bases), devices)]
        artefacts += publisher.artefacts(members[target], sources, main=target == chain.primary)
    _expect_distinct(artefacts)
    return Release(
        firmwares=chain.firmwares,
        images=tuple(member.image for member in members),
        wire_image=members[chain.primary].wire_image,
        artefacts=tuple(artefacts),
        signing_key=signing_key,
        verify_key=signing_key.public(),
        decryption_key=decryption_key,
        security_counters=counters,
        primary=chain.primary,
        recovery=chain.recovery,
        keys=keys.kind,
    )


def _check_bases(chain: Chain, bases: Collection[int] | None) -> None:
    if bases is not None and (wrong := [base for base in bases if not 0 <= base < chain.primary]):
        raise InputError(f"bases: found {min(wrong)}, expected 0 to {chain.primary - 1}")


def _other_targets(spec: ReleaseSpec, chain: Chain, targets: Collection[int] | None) -> tuple[int, ...]:
    """The chain indices to reach beside the primary, in the chain's order."""
    if targets is None:
        for behind in spec.stepping_stones:
            if not 0 < behind <= chain.primary:
                raise InputError(f"release.stepping_stones: found {behind}, expected 1 to {chain.primary}")
        in_flight = len(spec.published_ms)
        if in_flight > chain.primary + 1:
            raise InputError(
                f"release.published: found {in_flight} times, expected at most {chain.primary + 1}, "
                "a release each"
            )
        stones = [chain.primary - behind for behind in spec.stepping_stones]
        targets = [*stones, *range(chain.primary - in_flight + 1, chain.primary)]
    last = len(chain.firmwares) - 1
    if wrong := [target for target in targets if not 0 <= target <= last]:
        raise InputError(f"targets: found {min(wrong)}, expected 0 to {last}")
    wanted = {*targets, chain.primary if chain.recovery is None else chain.recovery}
    return tuple(sorted(wanted - {chain.primary}))


def _sources(spec: ReleaseSpec, chain: Chain, target: int, bases: Collection[int] | None) -> tuple[int, ...]:
    """The chain indices that patches to `target` are made from, in the chain's order."""
    if spec.payload != "delta":
        return ()
    possible = range(len(chain.firmwares) if target == chain.recovery else target)
    return tuple(n for n in possible if n != target and (bases is None or n in bases or n == chain.primary))


def _security_counters(spec: ReleaseSpec, members: int) -> tuple[int, ...]:
    match spec.security_counters:
        case "raise":
            return tuple(range(1, members + 1))
        case "keep":
            return (1,) * members
    raise InputError(f"release.security_counters: found {spec.security_counters!r}, expected raise or keep")


def _signed(
    spec: ReleaseSpec,
    index: int,
    firmware: Firmware,
    counter: int,
    key: SigningKey,
    decryption_key: DecryptionKey | None,
) -> Member:
    """One firmware signed, as shipped and as it lies in a primary slot."""
    secret = content_key_for(spec, "image", firmware.payload) if decryption_key is not None else None
    wire_image = sign_image(
        firmware.payload,
        firmware.version,
        key,
        security_counter=counter,
        header_size=HEADER_SIZE,
        encrypt_to=decryption_key.public() if decryption_key is not None else None,
        content_key=secret.key if secret is not None else None,
        ephemeral=secret.ephemeral if secret is not None else None,
        cipher=spec.cipher,
        load_address=spec.load_address or None,
        deterministic=True,
    )
    image = wire_image if decryption_key is None else decrypt_image(wire_image, decryption_key)
    return Member(index, firmware, image, wire_image, counter)


def _expect_distinct(artefacts: list[Artefact]) -> None:
    """Labels of files may be anything: a target called "delta" would take the primary's names."""
    name, times = Counter(artefact.name for artefact in artefacts).most_common(1)[0]
    if times > 1:
        raise InputError(f"release.files: found labels that make two artefacts {name!r}, expected others")
