"""Making and applying patches; the one place that decides in which order a patch is checked.

1. the envelope is whole and its codec is known;
2. the declared result fits where it is to go;
3. the payload is the one the envelope names;
4. the base is the one the envelope names: a wrong base is refused before a byte is made;
5. the codec accepts the payload;
6. the result is the one the envelope names.

Who may say what the right base and result are is left to the signed manifest of a release.
"""

from __future__ import annotations

from difflib import get_close_matches
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from simlib.delta.bsdiff4_codec import Bsdiff4
from simlib.delta.codec import Codec, Recipe
from simlib.delta.envelope import Envelope, read_envelope, seal
from simlib.errors import InputError, Reason, Refused

CODECS: Final = MappingProxyType[str, Codec]({codec.name: codec for codec in (Bsdiff4(),)})
"""Every codec by its name in an envelope."""

SMALLEST_DEFAULT_LIMIT_BYTES: Final = 2 << 20


def codec_names() -> tuple[str, ...]:
    """The names of the codecs, in the order in which they are compared."""
    return tuple(CODECS)


def create_patch(old: bytes, new: bytes, codec: str = "bsdiff4") -> bytes:
    """The patch that turns `old` into `new`: an envelope and the codec's payload.

    Raises:
        InputError: the codec is not known.
    """
    if codec not in CODECS:
        near = get_close_matches(codec, CODECS, n=1, cutoff=0)
        raise InputError(f"codec: found {codec!r}, expected one of {', '.join(CODECS)} (nearest: {near[0]})")
    return seal(codec, old, new, CODECS[codec].diff(old, new))


def codec_ram_bytes(codec: str, payload_size_bytes: int, result_size_bytes: int) -> int:
    """What decoding takes on a device [byte].

    Raises:
        Refused: CODEC_UNKNOWN, for `codec` is what a manifest says.
    """
    if codec not in CODECS:
        raise Refused(Reason.CODEC_UNKNOWN, f"codec: found {codec!r}, expected one of {', '.join(CODECS)}")
    return CODECS[codec].ram_bytes(payload_size_bytes, result_size_bytes)


def default_result_limit(base_size_bytes: int) -> int:
    """The largest result to accept where nobody has said [byte]: twice the base, and no less than 2 MiB.

    A release seldom doubles a firmware, and 2 MiB is the internal flash of a large microcontroller. Whoever
    knows the slot that the result goes to, as a device does, gives its size instead.
    """
    return max(2 * base_size_bytes, SMALLEST_DEFAULT_LIMIT_BYTES)


def apply_patch(old: bytes, patch: bytes, *, max_result_bytes: int) -> bytes:
    """The result of `patch` on `old`, exactly as its envelope names it.

    `patch` may come from anyone: memory beyond `old` and `patch` is at most four times the declared result
    and 6 MiB, and time grows with the result, for 4 MiB to less than a second of a processor.
    `max_result_bytes` bounds both.

    Raises:
        Refused: NOT_A_PATCH, TRUNCATED, TRAILING_BYTES, PATCH_DAMAGED, CODEC_UNKNOWN, OVERSIZE (the declared
            result is larger than `max_result_bytes`), WRONG_BASE or RESULT_MISMATCH.
    """
    envelope = read_envelope(patch)
    if envelope.codec not in CODECS:
        expected = ", ".join(CODECS)
        raise Refused(Reason.CODEC_UNKNOWN, f"patch codec: found {envelope.codec}, expected {expected}")
    if envelope.result_size > max_result_bytes:
        found = f"{envelope.result_size} bytes"
        raise Refused(Reason.OVERSIZE, f"patch result: found {found}, expected at most {max_result_bytes}")
    payload = memoryview(patch)[envelope.header_size :]
    _expect(Reason.PATCH_DAMAGED, "patch payload", payload, envelope.patch_sha256, envelope.patch_size)
    _expect(Reason.WRONG_BASE, "base", old, envelope.base_sha256, envelope.base_size)
    result = CODECS[envelope.codec].apply(old, payload, envelope.result_size)
    _expect(Reason.RESULT_MISMATCH, "patch result", result, envelope.result_sha256, envelope.result_size)
    return result


def patch_recipe(patch: bytes) -> tuple[Envelope, Recipe]:
    """What a patch says of itself, and how to make its result part by part (`simlib.delta.codec.Recipe`).

    The base is not at hand any more where this is used: whoever asks has seen `apply_patch` accept it.

    Raises:
        Refused: as `apply_patch`, but for what only the base or the result could tell.
    """
    envelope = read_envelope(patch)
    if envelope.codec not in CODECS:
        expected = ", ".join(CODECS)
        raise Refused(Reason.CODEC_UNKNOWN, f"patch codec: found {envelope.codec}, expected {expected}")
    payload = memoryview(patch)[envelope.header_size :]
    _expect(Reason.PATCH_DAMAGED, "patch payload", payload, envelope.patch_sha256, envelope.patch_size)
    return envelope, CODECS[envelope.codec].recipe(envelope.base_size, payload, envelope.result_size)


def _expect(reason: Reason, what: str, data: bytes | memoryview, digest: bytes, size_bytes: int) -> None:
    if len(data) != size_bytes:
        raise Refused(reason, f"{what}: found {len(data)} bytes, expected {size_bytes}")
    found = sha256(data).hexdigest()
    if found != digest.hex():
        raise Refused(reason, f"{what}: found SHA-256 {found}, expected {digest.hex()}")
