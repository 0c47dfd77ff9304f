"""A mutated image before `verify_image`, which is asked in different ways."""

from __future__ import annotations

from dataclasses import replace

from simlib.firmware.image import TlvType, describe_image, parse_image
from simlib.security.encryption import decrypt_image
from simlib.security.keyring import KeyRing
from simlib.security.verification import CALLERS, verify_image
from tests.mutations import oracles
from tests.mutations.dice import Dice
from tests.mutations.guard import MIB
from tests.mutations.image_mutations import mutate
from tests.mutations.judging import ACCEPTED, Defect, Outcome, expect, judged, refusal_of
from tests.mutations.oracles import Asked
from tests.mutations.subjects import (
    CLASS_ID,
    FORMS,
    VENDOR_ID,
    Genuine,
    another_device_key,
    device_key,
    library,
    publishers,
)

OWN_BYTES = 2 * MIB
"""What verifying may take beside four times the image.

It takes some 50 KiB; a MiB is Python's own, whose table of interned names doubles now and then.
"""


def _asked(dice: Dice, origin: Genuine) -> Asked:
    wrap = origin.form.wrap
    mine = tuple(key for key in publishers() if key.algorithm == origin.form.algorithm)
    decrypt_with = device_key(wrap) if origin.encrypted else dice.one((None, None, None, device_key(wrap)))
    if dice.chance(1, 12):
        decrypt_with = dice.one((None, another_device_key(wrap), device_key(dice.one(FORMS).wrap)))
    is_identified = "identified" in origin.role or dice.chance(1, 40)
    return Asked(
        keys=dice.one((mine, mine, publishers())),
        decrypt_with=decrypt_with,
        least_counter=dice.one((None, 1, 2, 2, 3, 4)),
        in_the_clear=(origin.anatomy.encrypted and not origin.encrypted) or dice.chance(1, 20),
        erased_value=dice.one((0xFF, 0xFF, 0xFF, 0x00, None)),
        revoked=frozenset({dice.one(publishers()).keyhash}) if dice.chance(1, 16) else frozenset(),
        vendor_id=dice.one((VENDOR_ID, VENDOR_ID, CLASS_ID, None)) if is_identified else None,
        class_id=dice.one((CLASS_ID, CLASS_ID, VENDOR_ID, None)) if is_identified else None,
        evaluates=frozenset(int(kind) for kind in CALLERS if dice.chance(1, 2)),
    )


def as_it_lies(image: Genuine) -> Genuine:
    """The image as in a primary slot, to be mutated as such."""
    return replace(image, image=image.clear, encrypted=False)


def verified(dice: Dice, traced: bool) -> Outcome:
    origin = dice.one(library())
    if origin.encrypted and dice.chance(1, 4):
        origin = as_it_lies(origin)
    asked = _asked(dice, origin)
    mutant = mutate(dice, origin)
    data = mutant.data

    def verdict() -> str:
        reason = refusal_of(
            lambda: verify_image(
                data,
                KeyRing(asked.keys, asked.revoked) if asked.revoked else asked.keys,
                decrypt_with=asked.decrypt_with,
                min_security_counter=asked.least_counter,
                plaintext_payload=asked.in_the_clear,
                erased_value=asked.erased_value,
                vendor_id=asked.vendor_id,
                class_id=asked.class_id,
                evaluates={TlvType(kind) for kind in asked.evaluates},
            )
        )
        shape = refusal_of(lambda: parse_image(data, erased_value=asked.erased_value))
        refusal_of(lambda: describe_image(data))
        refusal_of(lambda: decrypt_image(data, device_key(origin.form.wrap)))
        expect(reason is not None or shape is None, f"accepted, and no image: {shape}")
        expect(shape is None or reason is shape, f"refused for {reason}, expected {shape} of its shape")
        if reason is None and (found := oracles.complaint(data, asked)):
            raise Defect(found)
        return reason or ACCEPTED

    bound = 4 * len(data) + OWN_BYTES
    return judged("images, verified", mutant.done, verdict, bound, traced=traced)
