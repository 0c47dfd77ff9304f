"""Reading one member out of a package's archive: a wheel or other ZIP, or a tar compressed with gzip.

A member is found by its exact name and read into memory up to a bound; nothing is extracted to a path, so
what other names an archive holds does not matter. That it is the right archive was checked before.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Final

from simlib.errors import Reason, Refused

INNER: Final = "!"
"""Between the name of an archive inside an archive and the name of a member of it."""
LARGEST_INNER_BYTES: Final = 16 << 20
"""The largest archive inside an archive that is read."""

# What the standard library raises on damaged, encrypted or unknown content.
_DAMAGE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


def read_member(content: bytes, name: str, member: str, limit_bytes: int) -> bytes:
    """The bytes of `member` out of the archive `content`, called `name`.

    `member` is ``inner.zip!file`` for a file in an archive that is itself a member.

    Raises `Refused`: ARTEFACT_MISMATCH when there is no such member, or several, or the archive is damaged,
    OVERSIZE when the member has more than `limit_bytes`.
    """
    outer, inside, inner = member.partition(INNER)
    if inside:
        archive = read_member(content, name, outer, LARGEST_INNER_BYTES)
        return read_member(archive, f"{name}: {outer}", inner, limit_bytes)
    read: Callable[[bytes, str, int], bytes | None]
    read = _from_tar if name.endswith((".tgz", ".tar.gz")) else _from_zip
    try:
        found = read(content, member, limit_bytes + 1)
    except _DAMAGE as error:
        message = f"{name}: found a damaged archive ({error}), expected one with the member {member}"
        raise Refused(Reason.ARTEFACT_MISMATCH, " ".join(message.split())) from None
    if found is None:
        raise Refused(Reason.ARTEFACT_MISMATCH, f"{name}: found no file {member}, expected it once")
    if len(found) > limit_bytes:
        raise Refused(
            Reason.OVERSIZE, f"{name}: {member}: found more than {limit_bytes} bytes, expected no more"
        )
    return found


def _from_zip(content: bytes, member: str, most_bytes: int) -> bytes | None:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        if archive.namelist().count(member) != 1:
            return None
        with archive.open(member) as stream:
            return stream.read(most_bytes)


def _from_tar(content: bytes, member: str, most_bytes: int) -> bytes | None:
    found: list[bytes] = []
    with tarfile.open(fileobj=BytesIO(content), mode="r|gz") as archive:
        for entry in archive:
            if entry.name == member:
                # A link's content would be another member's; only a file stands for itself.
                stream = archive.extractfile(entry) if entry.isreg() else None
                found += [stream.read(most_bytes)] if stream is not None else []
    return found[0] if len(found) == 1 else None
