"""What can be done to an image: by somebody who knows the format, and by somebody who does not.

A mutation of the parts changes a `Work` in place, one of the bytes returns others. None of them signs with a
publisher's key. The names of what was done go with each mutant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simlib.firmware.trailer import trailer_magic
from tests.mutations import signatures, wrapping
from tests.mutations.anatomy import HASHES, KEYHASH, PUBKEY, SIG_PURE, SIGNATURES, WRAPPED_KEYS, Record
from tests.mutations.byte_mutations import OF_BYTES
from tests.mutations.dice import Dice
from tests.mutations.subjects import Genuine, library
from tests.mutations.tlv_mutations import OF_TLVS, Work

FLAGS = (0x1, 0x4, 0x8, 0x10, 0x20, 0x100, 0x200, 0x400, 0x800, 0x2, 0x40, 0x8000_0000)


@dataclass(frozen=True)
class Mutant:
    """A changed image, the one that it was, and what was done to it."""

    data: bytes
    origin: Genuine
    done: tuple[str, ...]


# ---- the header


def header_field(dice: Dice, work: Work) -> None:
    parts = work.parts
    payload_end = len(parts.head()) + len(parts.payload)
    total = len(parts.encode())
    sizes = (
        payload_end,
        total,
        len(parts.payload),
        len(parts.head()),
        payload_end + len(parts.protected.pack()),
    )
    match dice.below(7):
        case 0:
            parts.magic = dice.integer(32, parts.magic)
        case 1:
            parts.load_address = dice.integer(32, 0x2000_0000, total)
        case 2:
            parts.header_size = dice.integer(16, 32, *sizes)
        case 3:
            parts.protected_size = dice.integer(16, len(parts.protected.pack()), total - payload_end)
        case 4:
            parts.image_size = dice.integer(32, *sizes)
        case 5:
            parts.version = dice.octets(8)
        case _:
            parts.reserved = dice.integer(32)


def header_flags(dice: Dice, work: Work) -> None:
    for _ in range(dice.few(3)):
        work.parts.flags ^= dice.one(FLAGS)


def header_padding(dice: Dice, work: Work) -> None:
    work.parts.padding = dice.octets(dice.one((0, 1, 16, 32, 480, len(work.parts.padding))))


# ---- the payload


def payload_bytes(dice: Dice, work: Work) -> None:
    """Bytes of the payload are others; the ciphertext follows the plaintext."""
    at = dice.below(len(work.payload))
    patch = dice.octets(dice.few(8))
    work.payload = (work.payload[:at] + patch + work.payload[at + len(patch) :])[: len(work.payload)]
    work.parts.payload = wrapping.ciphertext(work.origin, work.payload)


def payload_size(dice: Dice, work: Work) -> None:
    cut = dice.one((0, 1, 15, 16, 5_000, dice.below(len(work.payload) + 1)))
    work.payload = work.payload[:cut] if dice.chance(1, 2) else work.payload + dice.octets(cut)
    work.parts.payload = wrapping.ciphertext(work.origin, work.payload)


def payload_of_another(dice: Dice, work: Work) -> None:
    other = dice.one(library())
    work.payload, work.parts.payload = other.clear_payload, other.anatomy.payload


# ---- parts of other images


def header_of_another(dice: Dice, work: Work) -> None:
    other = dice.one(library()).anatomy
    for name in ("load_address", "flags", "version", "padding"):
        setattr(work.parts, name, getattr(other, name))


def tlvs_of_another(dice: Dice, work: Work) -> None:
    other = dice.one(library()).anatomy.copy()
    if dice.chance(1, 2):
        work.parts.protected = other.protected
    work.parts.unprotected = other.unprotected


def record_of_another(dice: Dice, work: Work) -> None:
    """The hash, key hash, signature or wrapped key is another image's."""
    kinds = dice.one(((KEYHASH, PUBKEY), tuple(HASHES), SIGNATURES, WRAPPED_KEYS))
    mine = work.parts.unprotected.find(*kinds)
    theirs = dice.one(library()).anatomy.unprotected.find(*kinds)
    if mine is not None and theirs is not None:
        mine.kind, mine.value = theirs.kind, theirs.value


def key_shown_with_it(dice: Dice, work: Work) -> None:
    """The signer's public key comes along, in place of its hash or beside it."""
    record = work.parts.unprotected.find(KEYHASH)
    shown = Record(PUBKEY, signatures.public_bytes(dice.one(library()).key))
    if record is not None and dice.chance(1, 2):
        work.parts.unprotected.records.remove(record)
    work.parts.unprotected.records.append(shown)


# ---- hash, signature, wrapped key


def signed_by_a_stranger(dice: Dice, work: Work) -> None:
    """Everything in order but the key; sometimes under the publisher's key hash."""
    signatures.sign_as_a_stranger(dice, work.parts, work.payload)


def signature_form(dice: Dice, work: Work) -> None:
    record = work.parts.unprotected.find(*SIGNATURES)
    if record is not None:
        record.value = signatures.other_form(dice, record.kind, record.value, work.origin.key)


def wrapped_key(dice: Dice, work: Work) -> None:
    record = work.parts.unprotected.find(*WRAPPED_KEYS)
    if record is not None:
        record.value = wrapping.other_wrap(dice, work.origin, record.kind, record.value)


def encrypted_anew(dice: Dice, work: Work) -> None:
    """Under a content key of the attacker's, wrapped for the device: its public key is no secret."""
    record = work.parts.unprotected.find(*WRAPPED_KEYS)
    if record is not None:
        form = work.origin.form
        content_key = dice.octets(form.content_key_bytes)
        work.parts.payload = wrapping.under(content_key, work.payload)
        record.value = wrapping.wrapped_for_the_device(content_key, form)


def pure_or_not(dice: Dice, work: Work) -> None:
    """The image says of its signature that it is over the image itself, or stops saying so."""
    records = work.parts.unprotected.records
    said = work.parts.unprotected.find(SIG_PURE)
    if said is None:
        records.insert(dice.below(len(records) + 1), Record(SIG_PURE, dice.one((b"\x01", b"\x01", b"\0"))))
    else:
        records.remove(said)


def another_hash(dice: Dice, work: Work) -> None:
    """The hash is right, and by another algorithm; sometimes it stands beside the one that was there."""
    record = work.parts.unprotected.find(*HASHES)
    kind = dice.one(tuple(HASHES))
    other = Record(kind, work.parts.digest_with(work.payload, HASHES[kind]))
    records = work.parts.unprotected.records
    if record is not None and dice.chance(2, 3):
        record.kind, record.value = other.kind, other.value
    else:
        records.insert(dice.below(len(records) + 1), other)


def travels_otherwise(dice: Dice, work: Work) -> None:
    """The payload is in the clear where it should not be, or the reverse."""
    work.parts.payload = dice.one((work.payload, wrapping.under(bytes(32), work.payload)))


# ---- behind the image


def behind_it(dice: Dice, work: Work) -> None:
    size = dice.one((1, 4, 16, 64, 600, 4_096))
    match dice.below(5):
        case 0:
            work.parts.tail = b"\xff" * size
        case 1:
            work.parts.tail = bytes(size)
        case 2:
            work.parts.tail = dice.octets(min(size, 64))
        case 3:
            tail = bytearray(b"\xff" * size)
            tail[dice.below(size)] = dice.below(256)
            work.parts.tail = bytes(tail)
        case _:
            work.parts.tail = work.parts.encode()  # the image once more


def trailer(dice: Dice, work: Work) -> None:
    """A slot's worth: erased flash, flags, the magic; sometimes something hides in between."""
    align = dice.one((8, 8, 16, 32))
    tail = bytearray(dice.one((b"\xff", b"\xff", b"\0")) * dice.one((15, 16, 47, 48, 80, 200, 1_000, 5_000)))
    if len(tail) >= 16:
        tail[-16:] = trailer_magic(align)
    span = max(16, align)
    for n in (1, 2, 3, 4):
        if dice.chance(1, 3) and len(tail) > span + n * align:
            tail[-span - n * align] = dice.one((0x01, 0x01, 0xFF, 0x00, 0x33))
    if dice.chance(1, 4):
        tail[dice.below(len(tail))] ^= 1 << dice.below(8)
    work.parts.tail = bytes(tail)


OF_PARTS: tuple[Callable[[Dice, Work], None], ...] = (
    *(header_field, header_flags, header_padding),
    *(payload_bytes, payload_size, payload_of_another),
    *OF_TLVS,
    *(header_of_another, tlvs_of_another, record_of_another, key_shown_with_it),
    *(signed_by_a_stranger, signature_form, pure_or_not, another_hash),
    *(wrapped_key, encrypted_anew, travels_otherwise),
    *(behind_it, trailer),
)


def mutate(dice: Dice, origin: Genuine) -> Mutant:
    """`origin` after one to three mutations, two thirds of them of its parts; a third of them hashed anew."""
    work = Work(origin, origin.anatomy.copy(), origin.clear_payload)
    done = []
    of_bytes = []
    for _ in range(dice.few(3)):
        if dice.chance(2, 3):
            change = dice.one(OF_PARTS)
            change(dice, work)
            done.append(change.__name__)
        else:
            of_bytes.append(dice.one(OF_BYTES))
    if dice.chance(1, 3):
        work.rehash()
        done.append("rehash")
    data = work.parts.encode()
    for blind in of_bytes:
        if data:
            data = blind(dice, data)
            done.append(blind.__name__)
    return Mutant(data, origin, tuple(done))
