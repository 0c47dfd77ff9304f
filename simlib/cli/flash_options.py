"""The options that commands about one device's flash share: what is sent, and how the flash is made."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import typer

from simlib.cli.files import size
from simlib.errors import InputError

LARGEST_SLOT_BYTES: Final = 64 << 20
"""The whole flash is held in memory; the slots of connected devices are a fraction of this."""

Payload: TypeAlias = Annotated[str, typer.Option(help="full, delta or compressed.")]
Codec: TypeAlias = Annotated[
    str | None, typer.Option(help="How it is written; default: bsdiff4, or full-lzma if compressed.")
]
Encrypted: TypeAlias = Annotated[bool, typer.Option("--encrypted", help="Encrypt what is sent.")]
SectorSize: TypeAlias = Annotated[str, typer.Option(help="Erase unit of the flash.")]
SlotSize: TypeAlias = Annotated[
    str | None, typer.Option(help="Size of a slot; default: the least that will do.")
]
DownloadSize: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Size of the download partition, 0: none; default: the least that will do."),
]
WriteSize: TypeAlias = Annotated[str, typer.Option(help="Write unit of the flash.")]
ErasedValue: TypeAlias = Annotated[str, typer.Option(help="What an erased byte reads, 0xFF or 0x00.")]


def flash_size(text: str, flag: str) -> int:
    """A size [byte] of a part of a flash, as a person types it; `InputError` for one beyond all reason."""
    size_bytes = size(text, flag)
    if size_bytes > LARGEST_SLOT_BYTES:
        raise InputError(f"{flag}: found {text}, expected at most {LARGEST_SLOT_BYTES} bytes")
    return size_bytes
