"""The address of a key in a token, by the part of RFC 7512 that names one private key.

``pkcs11:token=LABEL;object=LABEL`` with ``id=%01%02`` in place of the object's label or beside it, and behind
a question mark ``module-path=FILE``, ``pin-value=PIN`` or ``pin-source=file:FILE``, parted by ``&``. Values
are percent-encoded. What else the RFC has is refused, not passed over: it would narrow the choice of a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from simlib.errors import InputError

SCHEME: Final = "pkcs11:"
_PATH: Final = ("token", "object", "id", "type")
_QUERY: Final = ("module-path", "pin-value", "pin-source")


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """Which token, which key in it, and how to get at both; None: not said."""

    token: str
    object: str | None
    id: bytes | None
    module: str | None
    pin: str | None

    @classmethod
    def parse(cls, text: str) -> Pkcs11Uri:
        """Read an address. `InputError` for one that does not name a private key in a token.

        A PIN's file is read here: its first line counts.
        """
        if not text.startswith(SCHEME):
            raise InputError(f"key: found {text!r}, expected {SCHEME}token=LABEL;object=LABEL")
        path, _, query = text.removeprefix(SCHEME).partition("?")
        shown = f"{SCHEME}{path}"  # without the query, which may hold the PIN
        where = _attributes(path, ";", _PATH)
        how = _attributes(query, "&", _QUERY)
        if "token" not in where or not {"object", "id"} & set(where):
            raise InputError(
                f"{shown}: found no {_missing(where)}, expected {SCHEME}token=LABEL;object=LABEL"
            )
        if where.get("type", "private") != "private":
            raise InputError(f"{shown}: found type={where['type']}, expected private")
        return cls(
            token=unquote(where["token"]),
            object=unquote(where["object"]) if "object" in where else None,
            id=unquote_to_bytes(where["id"]) if "id" in where else None,
            module=unquote(how["module-path"]) if "module-path" in how else None,
            pin=_pin(how),
        )


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name not in known or not equals:
            raise InputError(f"{SCHEME} found {name!r}, expected one of {', '.join(known)}")
        if name in found:
            raise InputError(f"{SCHEME} found {name} twice, expected it once")
        found[name] = value
    return found


def _missing(where: dict[str, str]) -> str:
    return "object or id" if "token" in where else "token"


def _pin(how: dict[str, str]) -> str | None:
    if "pin-value" in how:
        return unquote(how["pin-value"])
    if "pin-source" not in how:
        return None
    path = Path(unquote(how["pin-source"]).removeprefix("file:"))
    try:
        first, *_ = path.read_text(encoding="utf-8").splitlines() or [""]
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "no text"
        raise InputError(f"pin-source {path}: found {found}, expected a PIN in its first line") from error
    return first
