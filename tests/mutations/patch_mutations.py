"""What can be done to a patch: to its triples, its streams, its headers, its envelope, and to its bytes.

What is done to the triples is encoded again, so that it reaches the decoder's own rules. Some of it is
neutral (a triple split in two, an empty one put in, another compression level): such a patch still makes the
genuine image, and is to be accepted.
"""

from __future__ import annotations

import bz2
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from simlib.delta import create_patch, read_envelope
from tests.mutations.byte_mutations import OF_BYTES
from tests.mutations.dice import Dice
from tests.mutations.patch_anatomy import Cover, Instructions, Payload, instructions_in


@lru_cache(maxsize=512)
def payload_between(base: bytes, goal: bytes) -> bytes:
    """The genuine payload that turns `base` into `goal`."""
    patch = create_patch(base, goal)
    return patch[read_envelope(patch).header_size :]


# ---- triples, diff bytes, extra bytes


@dataclass
class Sizes:
    """What numbers in a patch are near to [byte]."""

    base: int
    result: int


def _triple(dice: Dice, work: Instructions) -> int:
    if not work.triples:
        work.triples.append([0, 0, 0])
    return dice.below(len(work.triples))


def a_number(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    """Any of the three is a limit, negative, huge, off by one."""
    triple = work.triples[_triple(dice, work)]
    n = dice.below(3)
    value = dice.integer(63, sizes.base, sizes.result, abs(triple[n]))
    triple[n] = dice.one((value, -value, triple[n] + 1, triple[n] - 1, -triple[n], -1, 0))


def sum_off_by_one(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    work.triples[_triple(dice, work)][dice.below(2)] += dice.one((-1, 1))


def bytes_moved_over(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    """What is added and what is appended trade bytes: the sum stays."""
    triple = work.triples[_triple(dice, work)]
    by = dice.one((1, -1, triple[0], -triple[1], 16))
    triple[0] -= by
    triple[1] += by


def out_of_the_base(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    """A move leaves the base, by a byte or by 2^63, and perhaps comes back."""
    n = _triple(dice, work)
    by = dice.one(
        (sizes.base, -sizes.base, sizes.base + 1, 1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 62), -1, 1)
    )
    work.triples[n][2] += by
    if dice.chance(1, 2) and n + 1 < len(work.triples):
        work.triples[n + 1][2] -= by


def triple_split(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    """Neutral: one triple's work done by two."""
    n = _triple(dice, work)
    x, y, z = work.triples[n]
    if x > 0:
        part = dice.below(x + 1)
        work.triples[n : n + 1] = [[part, 0, 0], [x - part, y, z]]


def empty_triples(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    """Neutral as long as they are few."""
    at = dice.below(len(work.triples) + 1)
    work.triples[at:at] = [[0, 0, 0] for _ in range(dice.one((1, 2, sizes.result // 9, 2_000)))]


def tiny_triples(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    """The first triple's work, a byte or a few at a time."""
    n = _triple(dice, work)
    x, y, z = work.triples[n]
    step = dice.one((1, 2, 8, 9))
    if 0 < x < 10_000:
        pieces = [[min(step, x - at), 0, 0] for at in range(0, x, step)]
        work.triples[n : n + 1] = [*pieces, [0, y, z]]


def triples_rearranged(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    n, other = _triple(dice, work), _triple(dice, work)
    match dice.below(4):
        case 0:
            del work.triples[n]
        case 1:
            work.triples.insert(other, list(work.triples[n]))
        case 2:
            work.triples[n], work.triples[other] = work.triples[other], work.triples[n]
        case _:
            work.triples = work.triples[:n]


def all_anew(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    """One triple that takes all from the extra bytes, or all from the base."""
    size = dice.one((sizes.result, sizes.result, sizes.base, 0))
    content = dice.one((bytes(size), dice.octets(size)))
    if dice.chance(1, 2):
        work.triples, work.diff, work.extra = [[0, size, dice.one((0, 0, 1, -1))]], b"", content
    else:
        work.triples, work.diff, work.extra = [[size, 0, 0]], content, b""


def data_bytes(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    """The diff or the extra bytes are others, or more, or fewer."""
    name = dice.one(("diff", "extra"))
    data = getattr(work, name)
    match dice.below(4):
        case 0:
            data = data[:-1]
        case 1:
            data += dice.octets(dice.one((1, 16)))
        case 2:
            data = bytes(len(data))
        case _:
            if data:
                at = dice.below(len(data))
                data = data[:at] + dice.octets(1) + data[at + 1 :]
    setattr(work, name, data)


def at_the_end(dice: Dice, work: Instructions, sizes: Sizes) -> None:
    """The last move leads nowhere: neutral within the base."""
    if work.triples:
        work.triples[-1][2] = dice.one((0, 1, -1, sizes.base, -sizes.base, 1 << 40))


OF_INSTRUCTIONS: tuple[Callable[[Dice, Instructions, Sizes], None], ...] = (
    *(a_number, sum_off_by_one, bytes_moved_over, out_of_the_base, at_the_end),
    *(triple_split, empty_triples, tiny_triples, triples_rearranged, all_anew, data_bytes),
)


# ---- streams


@lru_cache
def bomb(log2_bytes: int, block: bytes) -> bytes:
    """A bzip2 stream that unpacks to 2^n bytes."""
    engine = bz2.BZ2Compressor(9)
    piece = block * ((1 << 20) // len(block))
    return b"".join(engine.compress(piece) for _ in range(1 << max(0, log2_bytes - 20))) + engine.flush()


BOMBS = ((20, b"\xff"), (20, bytes(24)), (22, b"\x01" + bytes(23)), (23, b"\0"), (26, b"\0"))
"""What they unpack to: the logarithm of its size, and what it repeats."""


def _stream(dice: Dice, stream: bytes) -> bytes:
    match dice.below(12):
        case 0:
            return stream[: dice.below(len(stream) + 1)]
        case 1:
            return stream + dice.one((b"\0", dice.octets(9), stream, bz2.compress(b"")))
        case 2 | 3 | 4:
            return dice.one(OF_BYTES)(dice, stream) if stream else stream
        case 5:
            return dice.one((b"", b"BZh9", bz2.compress(b""), bytes(40), stream[4:], b"BZh0" + stream[4:]))
        case 6:
            return b"BZh" + dice.one((b"0", b"1", b"9", b":")) + stream[4:]
        case 7 | 8 | 9:
            return bomb(*dice.one(BOMBS))
        case 10:
            return bz2.compress(b"") * dice.one((2, 50, 1_000))
        case _:
            return bz2.compress(dice.octets(dice.one((0, 1, 23, 24, 25, 4_096))), 1)


def streams(dice: Dice, payload: Payload) -> None:
    for _ in range(dice.few(2)):
        n = dice.below(3)
        if dice.chance(1, 8):
            other = dice.below(3)
            payload.streams[n], payload.streams[other] = payload.streams[other], payload.streams[n]
        else:
            payload.streams[n] = _stream(dice, payload.streams[n])


def payload_header(dice: Dice, payload: Payload) -> None:
    total = sum(map(len, payload.streams))
    match dice.below(4):
        case 0:
            payload.magic = dice.one((b"BSDIFF41", b"BSDIFF4\0", b"bsdiff40", bytes(8), dice.octets(8)))
        case 1:
            payload.control_size = _odd_size(dice, len(payload.streams[0]), total)
        case 2:
            payload.diff_size = _odd_size(dice, len(payload.streams[1]), total)
        case _:
            payload.result_size = _odd_size(dice, payload.result_size, total)


def _odd_size(dice: Dice, *near: int) -> int:
    size = dice.integer(63, *near)
    return -size if dice.chance(1, 5) else size


# ---- the envelope


def envelope_field(dice: Dice, cover: Cover, other_bases: tuple[bytes, ...]) -> None:
    """A fact of the envelope is another; whether its own hash follows is the caller's choice."""
    match dice.below(10):
        case 0:
            cover.magic = dice.one((b"SIMDELTB", b"simdelta", bytes(8), dice.octets(8)))
        case 1:
            cover.version = dice.integer(16, 1)
        case 2:
            cover.codec = dice.one(
                (
                    b"raw",
                    b"bsdiff",
                    b"",
                    b"BSDIFF4",
                    b"x" * 33,
                    b"x" * 255,
                    b"bsdiff4\n",
                    b"\xff",
                    b"bsdiff4-2",
                )
            )
        case 3:
            cover.name_size = dice.integer(8, len(cover.codec))
        case 4 | 5:
            other = Cover.of(dice.one(other_bases), b"", b"")
            cover.base_sha256, cover.base_size = other.base_sha256, other.base_size
        case 6:
            cover.base_size = dice.integer(64, cover.base_size)
        case 7:
            cover.result_sha256 = dice.octets(32)
        case 8:
            cover.result_size = dice.integer(64, cover.result_size)
        case _:
            if dice.chance(1, 2):
                cover.payload_sha256 = dice.octets(32)
            else:
                cover.payload_size = dice.integer(64, len(cover.payload))


# ---- all together


@dataclass
class Content:
    """A patch's content after the mutations: its payload, and the instructions if they can still be told."""

    payload: bytes
    instructions: Instructions | None
    done: tuple[str, ...]


def mutated_payload(dice: Dice, base: bytes, goal: bytes) -> Content:
    """The payload from `base` to `goal`, its triples changed, or its streams, its header or its bytes."""
    work = instructions_in(payload_between(base, goal))
    sizes = Sizes(len(base), len(goal))
    done: list[str] = []
    result_size = len(goal)
    if dice.chance(3, 4):
        for _ in range(dice.few(3)):
            change = dice.one(OF_INSTRUCTIONS)
            change(dice, work, sizes)
            done.append(change.__name__)
    instructions: Instructions | None = work
    level = dice.one((1, 1, 1, 1, 9))
    payload = Payload(work.streams(level), result_size)
    if not done or dice.chance(1, 8):
        instructions = None
        for change_payload in (
            (streams, payload_header) if dice.chance(1, 4) else (dice.one((streams, payload_header)),)
        ):
            change_payload(dice, payload)
            done.append(change_payload.__name__)
    data = payload.encode()
    if dice.chance(1, 16):
        instructions = None
        blind = dice.one(OF_BYTES)
        data = blind(dice, data)
        done.append(f"{blind.__name__} of the payload")
    return Content(data, instructions, tuple(done))
