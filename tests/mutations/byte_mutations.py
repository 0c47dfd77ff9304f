"""What somebody can do to bytes who does not know what they mean."""

from __future__ import annotations

from collections.abc import Callable

from tests.mutations.dice import Dice


def flip_bits(dice: Dice, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.few(4) if data else 0):
        changed[dice.below(len(changed))] ^= 1 << dice.below(8)
    return bytes(changed)


def set_bytes(dice: Dice, data: bytes) -> bytes:
    at = dice.below(len(data))
    piece = dice.one((b"\0", b"\xff", dice.octets(1))) * dice.one((1, 2, 4, 8, 64))
    return (data[:at] + piece + data[at + len(piece) :])[: len(data)]


def set_integer(dice: Dice, data: bytes) -> bytes:
    """Some aligned field somewhere holds a limit, or a size that occurs."""
    size = dice.one((2, 4, 8))
    at = dice.below(len(data) // size + 1) * size
    value = dice.integer(8 * size, len(data), int.from_bytes(data[at : at + size], "little"))
    return (data[:at] + value.to_bytes(size, dice.one(("little", "big"))) + data[at + size :])[: len(data)]


def cut_short(dice: Dice, data: bytes) -> bytes:
    if dice.chance(1, 2):
        return data[: dice.below(len(data))]
    return data[: max(0, len(data) - dice.one((1, 2, 4, 16, 64, 100, 200)))]


def lengthen(dice: Dice, data: bytes) -> bytes:
    return data + dice.one((b"\0", b"\xff", dice.octets(1))) * dice.one((1, 3, 4, 16, 512))


def _block(dice: Dice, data: bytes) -> tuple[int, int]:
    start = dice.below(len(data))
    return start, min(len(data), start + dice.one((1, 2, 4, 8, 16, 32, 64, 256)))


def move_block(dice: Dice, data: bytes) -> bytes:
    start, end = _block(dice, data)
    rest = data[:start] + data[end:]
    at = dice.below(len(rest) + 1)
    return rest[:at] + data[start:end] + rest[at:]


def swap_blocks(dice: Dice, data: bytes) -> bytes:
    start, end = _block(dice, data)
    size = end - start
    at = dice.below(max(1, len(data) - size))
    changed = bytearray(data)
    changed[start:end], changed[at : at + size] = data[at : at + size], data[start:end]
    return bytes(changed)


def repeat_block(dice: Dice, data: bytes) -> bytes:
    start, end = _block(dice, data)
    return data[:end] + data[start:end] * dice.few(4) + data[end:]


def drop_block(dice: Dice, data: bytes) -> bytes:
    start, end = _block(dice, data)
    return data[:start] + data[end:]


OF_BYTES: tuple[Callable[[Dice, bytes], bytes], ...] = (
    *(flip_bits, set_bytes, set_integer, cut_short, lengthen),
    *(move_block, swap_blocks, repeat_block, drop_block),
)
