"""Making and applying patches; the one place that decides in which order a patch is checked.

1. the envelope is whole and its codec is known;
2. the declared result fits where it is to go;
3. the payload is the one the envelope names;
4. the base is the one the envelope names: a wrong base is refused before a byte is made;
5. the codec accepts the payload;
6. the result is the one the envelope names.

A patch that is applied while it arrives cannot be compared with its hash beforehand: there 3 comes after 5.

Who may say what the right base and result are is left to the signed manifest of a release.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from simlib.delta.codec import Recipe
from simlib.delta.envelope import Envelope, read_envelope, seal
from simlib.delta.registry import chosen, named
from simlib.errors import Reason, Refused

SMALLEST_DEFAULT_LIMIT_BYTES: Final = 2 << 20


def create_patch(old: bytes, new: bytes, codec: str = "bsdiff4") -> bytes:
    """The patch that turns `old` into `new`: an envelope and the codec's payload.

    Of a codec that takes no base, `new` itself, compressed; `old` does not count.

    Raises:
        InputError: the codec is not known.
    """
    coder = chosen(codec)
    base = old if coder.traits.takes_base else b""
    return seal(codec, base, new, coder.diff(base, new))


def default_result_limit(base_size_bytes: int) -> int:
    """The largest result to accept where nobody has said [byte]: twice the base, and no less than 2 MiB.

    A release seldom doubles a firmware, and 2 MiB is the internal flash of a large microcontroller. Whoever
    knows the slot that the result goes to, as a device does, gives its size instead.
    """
    return max(2 * base_size_bytes, SMALLEST_DEFAULT_LIMIT_BYTES)


def apply_patch(old: bytes, patch: bytes, *, max_result_bytes: int) -> bytes:
    """The result of `patch` on `old`, exactly as its envelope names it.

    `patch` may come from anyone: memory beyond `old` and `patch` is at most four times the declared result
    and 16 MiB (LZMA's dictionary among them), for zstd-patch-from and a copy of `old`. Time grows with the
    result: honest patches take well below a second of a processor for each MiB, the worst of any codec some
    three. `max_result_bytes` bounds both.

    Raises:
        Refused: NOT_A_PATCH, TRUNCATED, TRAILING_BYTES, PATCH_DAMAGED, CODEC_UNKNOWN, OVERSIZE (the declared
            result is larger than `max_result_bytes`), WRONG_BASE or RESULT_MISMATCH.
    """
    envelope = _accepted(patch, max_result_bytes)
    payload = memoryview(patch)[envelope.header_size :]
    coder = named(envelope.codec)
    base = old if coder.traits.takes_base else b""
    _expect(Reason.PATCH_DAMAGED, "patch payload", payload, envelope.patch_sha256, envelope.patch_size)
    _expect(Reason.WRONG_BASE, "base", base, envelope.base_sha256, envelope.base_size)
    result = coder.apply(base, payload, envelope.result_size)
    _expect(Reason.RESULT_MISMATCH, "patch result", result, envelope.result_sha256, envelope.result_size)
    return result


def patch_pieces(old: bytes, patch: bytes, *, max_result_bytes: int) -> Iterator[bytes | memoryview]:
    """The result of `patch` on `old` piece by piece, as it is made while the patch arrives.

    Bounded as `apply_patch` is, whoever made `patch`. The pieces are worth nothing until the last one has
    been given without a refusal.

    Raises:
        Refused: as `apply_patch` does, the payload's own hash and the result's at the end.
        NotImplementedError: the codec does not stream; `codec_traits` tells.
    """
    envelope = _accepted(patch, max_result_bytes)
    payload = memoryview(patch)[envelope.header_size :]
    coder = named(envelope.codec)
    base = old if coder.traits.takes_base else b""
    _expect(Reason.WRONG_BASE, "base", base, envelope.base_sha256, envelope.base_size)
    digest, made = sha256(), 0
    for piece in coder.pieces(base, payload, envelope.result_size):
        digest.update(piece)
        made += len(piece)
        yield piece
    _expect(Reason.PATCH_DAMAGED, "patch payload", payload, envelope.patch_sha256, envelope.patch_size)
    if (made, digest.digest()) != (envelope.result_size, envelope.result_sha256):
        found, expected = digest.hexdigest(), envelope.result_sha256.hex()
        raise Refused(Reason.RESULT_MISMATCH, f"patch result: found SHA-256 {found}, expected {expected}")


def patch_recipe(patch: bytes) -> tuple[Envelope, Recipe]:
    """What a patch says of itself, and how to make its result part by part (`simlib.delta.codec.Recipe`).

    The base is not at hand any more where this is used: whoever asks has seen `apply_patch` accept it.

    Raises:
        Refused: as `apply_patch`, but for what only the base or the result could tell.
    """
    envelope = read_envelope(patch)
    coder = named(envelope.codec, "patch codec")
    payload = memoryview(patch)[envelope.header_size :]
    _expect(Reason.PATCH_DAMAGED, "patch payload", payload, envelope.patch_sha256, envelope.patch_size)
    return envelope, coder.recipe(envelope.base_size, payload, envelope.result_size)


def _accepted(patch: bytes, max_result_bytes: int) -> Envelope:
    envelope = read_envelope(patch)
    named(envelope.codec, "patch codec")
    if envelope.result_size > max_result_bytes:
        found = f"{envelope.result_size} bytes"
        raise Refused(Reason.OVERSIZE, f"patch result: found {found}, expected at most {max_result_bytes}")
    return envelope


def _expect(reason: Reason, what: str, data: bytes | memoryview, digest: bytes, size_bytes: int) -> None:
    if len(data) != size_bytes:
        raise Refused(reason, f"{what}: found {len(data)} bytes, expected {size_bytes}")
    found = sha256(data).hexdigest()
    if found != digest.hex():
        raise Refused(reason, f"{what}: found SHA-256 {found}, expected {digest.hex()}")
