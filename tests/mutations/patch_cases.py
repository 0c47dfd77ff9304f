"""A mutated patch: before `apply_patch`, or signed by a malicious publisher and brought to a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

from simlib.delta import apply_patch, read_envelope
from simlib.device import layouts
from simlib.errors import Refused
from simlib.release import Manifest
from simlib.security.encryption import ctr_crypt
from tests.mutations import manifests, wrapping
from tests.mutations.anatomy import ENCEC, ENCX
from tests.mutations.byte_mutations import OF_BYTES
from tests.mutations.device_cases import DEVICE_BYTES, brought
from tests.mutations.dice import Dice
from tests.mutations.guard import MIB
from tests.mutations.image_cases import as_it_lies
from tests.mutations.image_mutations import mutate
from tests.mutations.judging import ACCEPTED, Outcome, expect, judged, refusal_of
from tests.mutations.large_patches import LARGE_SHAPES, LARGE_SIZES, large_base, large_payload
from tests.mutations.patch_anatomy import Cover, made_of
from tests.mutations.patch_mutations import envelope_field, mutated_payload, payload_between
from tests.mutations.subjects import FORMS, ROLES, Genuine, genuine, library
from tests.mutations.targets import HARDWARE, SLOT_BYTES, SPECIAL, Target, one_of

MAKE_PATCHES = tuple(name for name in layouts.names() if layouts.get(name).patches)
WRAPS_OF_PATCHES = ("ecies-p256", "x25519")
"""The keys of devices that an encrypted patch can be for."""
REVISIONS = ((), (HARDWARE,), ("rev-a", HARDWARE), ("rev-a",), ("Prüfling b",), ("two\nlines", "\ud800"))


def _declared_bytes(patch: bytes, limit: int) -> int:
    """What the patch may be given memory for."""
    try:
        size = read_envelope(patch).result_size
    except Refused:
        return 0
    return size if size <= limit else 0


def patch_bound(patch: bytes, limit: int) -> int:
    """The bound in the docstring of `apply_patch` [byte]."""
    return 4 * _declared_bytes(patch, limit) + 6 * MIB


def _pair(dice: Dice) -> tuple[Genuine, Genuine]:
    form, encrypted = dice.one(FORMS), dice.chance(1, 2)
    return genuine("old", form, encrypted), genuine(dice.one(ROLES), form, encrypted)


def applied(dice: Dice, traced: bool) -> Outcome:
    """A patch that nobody signed: damaged behind its hashes, or with these made right, as anybody can."""
    old, goal = _pair(dice)
    base, result, limit = old.clear, goal.clear, SLOT_BYTES
    others = tuple(image.clear for image in library() if image.clear != base)
    cover = Cover.of(base, goal.clear, payload_between(base, goal.clear))
    done: tuple[str, ...] = ()
    if dice.chance(1, 250):
        size, shape = dice.one(LARGE_SIZES), dice.one(LARGE_SHAPES)
        base, limit = large_base(size), size
        result = base[::-1]
        cover = Cover.of(base, result, large_payload(size, shape))
        done, traced = (f"large, {shape}",), True
    elif dice.chance(1, 2):
        content = mutated_payload(dice, base, goal.clear)
        cover.payload, done = content.payload, content.done
    elif dice.chance(1, 2):
        for _ in range(dice.few(2)):
            envelope_field(dice, cover, others)
        done = ("envelope_field",)
        if dice.chance(1, 5):
            cover.own_hash = dice.octets(32)
    elif dice.chance(1, 4):
        base, done = dice.one(others), ("another base",)
    patch = cover.encode()
    if not done or dice.chance(1, 12):
        for _ in range(dice.few(3)):
            blind = dice.one(OF_BYTES)
            patch = blind(dice, patch) if patch else patch
            done = (*done, blind.__name__)
    limit = dice.one((limit, limit, limit, limit, limit - 1, len(result) - 1, len(result)))

    def verdict() -> str:
        made: list[bytes] = []
        reason = refusal_of(lambda: made.append(apply_patch(base, patch, max_result_bytes=limit)))
        if reason is not None:
            return reason
        expect(len(made[0]) <= limit, f"made {len(made[0])} bytes, expected at most {limit}")
        expect(made[0] == result, "made something else than the patch was for")
        return ACCEPTED

    return judged("patches, applied", done, verdict, patch_bound(patch, limit), traced=traced)


@dataclass
class _Artefact:
    """A patch on its way to a device, and what its manifest is to say."""

    at: Target
    cover: Cover
    facts: Manifest
    done: tuple[str, ...]


def _made_for(dice: Dice, at: Target) -> _Artefact:
    """A patch to a mutated image, or a mutated one to a genuine image, whose hashes are right."""
    base = at.running.clear
    if dice.chance(1, 40):
        base = dice.one(library()).clear
    role = dice.one(ROLES) if dice.chance(1, 6) else at.good_role
    goal = genuine(role, dice.one((at.form,) * 9 + FORMS), at.encrypted ^ dice.chance(1, 16))
    promised = goal.clear
    if dice.chance(1, 4):
        mutant = mutate(dice, as_it_lies(goal))
        promised, done = mutant.data[:SLOT_BYTES], mutant.done
        payload = payload_between.__wrapped__(base, promised)
    else:
        content = mutated_payload(dice, base, goal.clear)
        payload, done = content.payload, content.done
        if content.instructions is not None and dice.chance(1, 2):
            promised = made_of(base, content.instructions)
            done = (*done, "its result promised")
    facts = manifests.patch_facts(base, goal, payload, None)
    facts = replace(
        facts,
        security_counter=max(2, facts.security_counter),  # so that it is the image's own that is too low
        image_sha256=sha256(promised).digest(),
        image_size=len(promised),
    )
    return _Artefact(at, Cover.of(base, promised, payload), facts, done)


def _with_odd_envelope(dice: Dice, artefact: _Artefact) -> None:
    """The envelope says something else, and so does the manifest where it can."""
    cover = artefact.cover
    envelope_field(dice, cover, tuple(image.clear for image in library()))
    artefact.done = (*artefact.done, "envelope_field")
    if dice.chance(1, 2):
        artefact.facts = replace(
            artefact.facts,
            image_sha256=cover.result_sha256,
            image_size=min(cover.result_size, (1 << 32) - 1),
            codec=cover.codec.decode("latin-1")[:64] or artefact.facts.codec,
        )


def _travelling(dice: Dice, artefact: _Artefact) -> bytes:
    """The blob, encrypted where it is for such a device; now and then where it is not."""
    at, patch = artefact.at, artefact.cover.encode()
    if at.encrypted and at.form.wrap not in WRAPS_OF_PATCHES and dice.chance(7, 8):
        return patch
    if not at.encrypted ^ dice.chance(1, 40):
        return patch
    key = bytes(range(at.form.content_key_bytes))
    wrapped_key = wrapping.wrapped_for_the_device(key, replace(at.form, hmac_hash="sha256"))
    if dice.chance(1, 40):
        kind = ENCEC if at.form.wrap == "ecies-p256" else ENCX
        wrapped_key = wrapping.other_wrap(dice, at.running, kind, wrapped_key)
        artefact.done = (*artefact.done, "other_wrap")
    artefact.facts = replace(artefact.facts, wrapped_key=wrapped_key)
    return ctr_crypt(key, patch)


def installed(dice: Dice, traced: bool) -> Outcome:
    """A patch by a malicious publisher: every hash is right and the manifest is signed."""
    at = one_of(dice, MAKE_PATCHES, SPECIAL)
    artefact = _made_for(dice, at)
    if dice.chance(1, 24):
        _with_odd_envelope(dice, artefact)
    blob = _travelling(dice, artefact)
    facts = replace(
        artefact.facts,
        blob_sha256=sha256(blob).digest(),
        blob_size=len(blob),
        hardware=dice.one(REVISIONS) if at.special == "of a revision" else (),
    )
    manifest, blob, more = _more_done(dice, manifests.sign_promises(facts), blob)
    declared = facts.image_size if facts.image_size <= SLOT_BYTES else 0
    bound = 4 * declared + 6 * MIB + DEVICE_BYTES
    return judged(
        "patches, installed",
        (*artefact.done, *more),
        lambda: brought(at, manifest, blob),
        bound,
        traced=traced,
    )


def _more_done(dice: Dice, manifest: bytes, blob: bytes) -> tuple[bytes, bytes, tuple[str, ...]]:
    """Now and then the manifest is odd as well, signed or not, or the blob is not the one it is for."""
    match dice.below(48):
        case 0 | 1:
            return manifests.change_a_fact(dice, manifest), blob, ("change_a_fact",)
        case 2:
            return manifests.disturb_the_document(dice, manifest), blob, ("disturb_the_document",)
        case 3:
            blind = dice.one(OF_BYTES)
            return blind(dice, manifest), blob, (f"{blind.__name__} of the manifest",)
        case 4:
            blind = dice.one(OF_BYTES)
            return manifest, blind(dice, blob), (f"{blind.__name__} of the blob",)
    return manifest, blob, ()
