"""Something brought to a small device, and what the device boots afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

from simlib.device.bootloader import Boot, boot, boot_loader, request_trial
from simlib.device.updater import install
from simlib.errors import Reason
from simlib.firmware.version import Version
from tests.mutations import manifests, oracles
from tests.mutations.anatomy import DEPENDENCY, dissect
from tests.mutations.dice import Dice
from tests.mutations.guard import MIB
from tests.mutations.image_mutations import Mutant, mutate
from tests.mutations.judging import ACCEPTED, Defect, Outcome, check_refusal, expect, judged
from tests.mutations.oracles import TRAILER_MAGICS, Asked
from tests.mutations.subjects import ROLES, genuine, library, release_key
from tests.mutations.targets import SLOT_BYTES, SPECIAL_FOR_IMAGES, WITH_SLOTS, Target, one_of

DEVICE_BYTES = 2 * MIB
"""What an install or a boot may take beside what a patch does: copies of a small flash, and Python's own."""


def brought(at: Target, manifest: bytes, blob: bytes) -> str:
    """Install and boot; the verdict is the updater's."""
    device = at.start()
    before = at.spared()
    reason = install(device, (release_key().public(),), manifest, blob)
    expect(at.spared() == before, "the update has changed more than it may before a boot")
    if reason is not Reason.NONE:
        check_refusal(reason, device.journal[-1].detail)
        expect_undisturbed(at, boot(device))
        return reason
    booted = boot(device)
    expect(not is_undisturbed(at, booted), f"installed, and then {booted}")
    _expect_promised(manifest, blob, booted)
    expect_taken(at, booted)
    return ACCEPTED


def _expect_promised(manifest: bytes, blob: bytes, booted: Boot) -> None:
    """What runs is what the manifest said. The hash of an encrypted image in full is not the device's."""
    facts = json.loads(manifests.document_of(manifest))
    expect(facts["version"] == str(booted.version), f"installed, and runs {booted.version}")
    expect(booted.image_sha256 is not None, "installed, and nothing runs")
    if facts["kind"] == "delta" or not dissect(blob).encrypted:
        expect(facts["image_sha256"] == booted.image_sha256.hex(), "installed, and runs other bytes")


def is_undisturbed(at: Target, booted: Boot) -> bool:
    """Whether the image that was there runs, byte for byte."""
    return booted.image_sha256 == at.undisturbed.image_sha256


def expect_undisturbed(at: Target, booted: Boot) -> None:
    expect(is_undisturbed(at, booted), f"booted {booted}, expected the image that was there")


def expect_taken(at: Target, booted: Boot) -> None:
    """A genuine image runs, and the next boot is as it should be: nobody confirms."""
    expect_genuine(at, booted)
    expect(not booted.trial or at.device.layout.has_trial, f"on trial, in {at.layout}")
    again = boot(at.device)
    if booted.trial:
        expect_undisturbed(at, again)
    else:
        expect(again.image_sha256 == booted.image_sha256, f"does not stay with its image, but {again}")


def expect_genuine(at: Target, booted: Boot) -> None:
    """What lies where the image runs is one that the publisher signed, and may follow the old one."""
    expect(booted.slot is not None, f"nothing runs: {booted}")
    device = at.device
    area = device.area(booted.slot)
    content = area.read(0, area.size)
    image = content[: len(content) - len(dissect(content).tail)]
    in_the_clear = at.layout != "ram-load"
    if in_the_clear or not at.encrypted:
        expect(sha256(image).digest() == booted.image_sha256, "booted something else than lies in the slot")
    asked = Asked(
        keys=device.verify_keys,
        decrypt_with=device.decryption_key,
        least_counter=2,
        in_the_clear=in_the_clear,
        erased_value=None,
        revoked=device.revoked,
        vendor_id=device.vendor_id,
        class_id=device.class_id,
        evaluates=frozenset({DEPENDENCY}),
    )
    if found := oracles.complaint(image, asked):
        raise Defect(f"boots: {found}")


def in_a_device(dice: Dice, traced: bool) -> Outcome:
    """A mutated image, brought by the updater or written where the next image goes."""
    at = one_of(dice, WITH_SLOTS, SPECIAL_FOR_IMAGES)
    if dice.chance(1, 4):
        origin = dice.one(library())
    else:
        origin = genuine(dice.one((at.good_role, at.good_role, *ROLES)), at.form, at.encrypted)
    mutant = mutate(dice, origin)
    if dice.chance(1, 3):
        return _delivered(dice, at, mutant, traced)
    asks = dice.one(("trial", "trial", "own trailer"))
    place = boot_loader(at.start()).target(at.device)
    data = bytes(place.offset) + mutant.data[: place.size]
    if asks == "own trailer":
        data = _with_trailer(dice, data)

    def verdict() -> str:
        device = at.start()
        area = device.area("secondary")
        area.erase_all()
        area.write_bytes(0, data)
        if asks == "trial":
            request_trial(device)
        booted = boot(device)
        if is_undisturbed(at, booted):
            expect_undisturbed(at, boot(device))
            return booted.reason if booted.reason is not Reason.NONE else "nothing asked"
        expect_taken(at, booted)
        return ACCEPTED

    bound = 4 * SLOT_BYTES + DEVICE_BYTES
    return judged("images, in the slot", mutant.done, verdict, bound, traced=traced)


def _with_trailer(dice: Dice, data: bytes) -> bytes:
    """A whole slot whose trailer asks for something, or for something odd."""
    slot = bytearray(data.ljust(SLOT_BYTES, b"\xff"))
    slot[-16:] = TRAILER_MAGICS[dice.one((8, 8, 8, 8, 16))]
    for n in (1, 2, 3, 4):  # image_ok, copy_done, swap info, swap size
        if dice.chance(1, 2):
            slot[-16 - 8 * n] = dice.one((1, 1, 1, 0xFF, dice.below(256)))
    if dice.chance(1, 4):
        slot[-1 - dice.below(300)] = dice.below(256)
    return bytes(slot)


def _delivered(dice: Dice, at: Target, mutant: Mutant, traced: bool) -> Outcome:
    """The mutant as a full artefact, under a manifest that vouches for it."""
    blob = mutant.data
    clear = mutant.origin.clear if mutant.origin.encrypted else blob
    facts = manifests.full_facts(mutant.origin)
    facts = replace(
        facts,
        security_counter=max(2, facts.security_counter),
        version=Version.unpack(blob[20:28].ljust(8, b"\0")) if dice.chance(1, 2) else Version(1, 1, 0, 1),
        blob_sha256=sha256(blob).digest(),
        blob_size=len(blob),
        image_sha256=sha256(clear).digest(),
        image_size=len(blob),
    )
    manifest = manifests.sign_promises(facts)

    def verdict() -> str:
        return brought(at, manifest, blob)

    bound = 4 * SLOT_BYTES + len(blob) + DEVICE_BYTES
    return judged("images, delivered", mutant.done, verdict, bound, traced=traced)
