"""A PKCS#11 token: finding the module and the token, logging in, and its objects by class and label.

``SIMLIB_PKCS11_MODULE`` names the module, else SoftHSM2's is looked for where systems install it;
``SIMLIB_PKCS11_TOKEN`` is the token's label ("simlib" unless set), ``SIMLIB_PKCS11_PIN`` the user's PIN.
python-pkcs11 is an optional part and loaded when a token is opened.

A module's state does not survive a fork: a process that finds itself to be a child begins its own.
"""

from __future__ import annotations

import importlib
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from simlib.errors import InputError, MissingPartError

MODULE: Final = "SIMLIB_PKCS11_MODULE"
TOKEN: Final = "SIMLIB_PKCS11_TOKEN"
PIN: Final = "SIMLIB_PKCS11_PIN"
DEFAULT_LABEL: Final = "simlib"
_SOFTHSM: Final = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
_WITHOUT: Final = 'release.keys = "file" needs no token'
_open: weakref.WeakSet[Token] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """Where a token is, and what opens it."""

    module: Path
    label: str
    pin: str = field(repr=False)

    @classmethod
    def find(
        cls,
        label: str | None = None,
        *,
        module: str | None = None,
        pin: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> TokenAddress:
        """The token's address; what is not given comes from the environment.

        Raises `MissingPartError` where no module is installed, `InputError` where a named one is not there
        or no PIN is known.
        """
        named = module or environment.get(MODULE)
        path = Path(named) if named else next((p for p in map(Path, _SOFTHSM) if p.is_file()), None)
        if path is None:
            raise MissingPartError(
                "PKCS#11 module: found none, expected SoftHSM2 (Debian and Ubuntu: apt install softhsm2) or "
                f"one named by {MODULE}; {_WITHOUT}"
            )
        if not path.is_file():
            raise InputError(f"{path}: found no such file, expected a PKCS#11 module")
        secret = environment.get(PIN) if pin is None else pin
        if not secret:
            raise InputError(f"token: found no PIN, expected one in {PIN}")
        return cls(path, label or environment.get(TOKEN) or DEFAULT_LABEL, secret)


class Token:
    """An open token.

    Raises `MissingPartError` without the library or the token, `InputError` for a wrong PIN.
    """

    def __init__(self, address: TokenAddress) -> None:
        self.address = address
        self.library: Any = _library()
        self._process = os.getpid()
        self._module, self._token = self._find()
        self._session = self._log_in()
        _open.add(self)

    @property
    def maker(self) -> str:
        """The model and version of the token, as it says."""
        major, minor = self._token.firmware_version
        return f"{self._token.model.removesuffix(' v2')} {major}.{minor}"

    @property
    def session(self) -> Any:
        """The session, opened anew in a process that was forked since. python-pkcs11 holds its lock."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._module.reinitialize()
            self._module, self._token = self._find()
            self._session = self._log_in()
        return self._session

    def can(self, mechanism: str) -> bool:
        """Whether the token has a mechanism, by the name that python-pkcs11 gives it."""
        wanted = self.library.Mechanism[mechanism]
        return any(int(each) == int(wanted) for each in self._token.slot.get_mechanisms())

    def find(self, kind: str, label: str | None = None, key_id: bytes | None = None) -> list[Any]:
        """The objects of a class ("PRIVATE_KEY", "PUBLIC_KEY", "SECRET_KEY") by label, by id or by both."""
        attribute = self.library.Attribute
        wanted: dict[Any, Any] = {attribute.CLASS: self.library.ObjectClass[kind]}
        if label is not None:
            wanted[attribute.LABEL] = label
        if key_id is not None:
            wanted[attribute.ID] = key_id
        return list(self.session.get_objects(wanted))

    def close(self) -> None:
        """Log out. Other sessions of this process on the same token are logged out too, by PKCS#11's rule."""
        if self in _open:
            _open.discard(self)
            self._session.close()

    def _find(self) -> tuple[Any, Any]:
        exceptions = self.library.exceptions
        try:
            module = self.library.lib(str(self.address.module))
            try:
                return module, module.get_token(token_label=self.address.label)
            except exceptions.NoSuchToken:
                if _open:
                    raise
            module.reinitialize()  # the module sees the tokens that there were when it began
            return module, module.get_token(token_label=self.address.label)
        except exceptions.NoSuchToken:
            raise MissingPartError(
                f"token {self.address.label!r}: found none of that label, expected one "
                f"(softhsm2-util --init-token --free --label {self.address.label}); {_WITHOUT}"
            ) from None
        except exceptions.PKCS11Error as error:
            found = str(error) or type(error).__name__
            raise MissingPartError(
                f"{self.address.module}: found {found}, expected a PKCS#11 module; {_WITHOUT}"
            ) from error

    def _log_in(self) -> Any:
        exceptions = self.library.exceptions
        try:
            return self._token.open(rw=True, user_pin=self.address.pin)
        except exceptions.UserAlreadyLoggedIn:  # a login counts for all sessions of a process
            return self._token.open(rw=True)
        except (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange):
            raise InputError(
                f"token {self.address.label!r}: found another PIN, expected the token's ({PIN})"
            ) from None
        except exceptions.PKCS11Error as error:
            raise InputError(
                f"token {self.address.label!r}: found {type(error).__name__}, expected it to open"
            ) from error


def _library() -> Any:
    try:
        return importlib.import_module("pkcs11")
    except ImportError:
        raise MissingPartError(
            f'PKCS#11: found no python-pkcs11, expected it: pip install "simlib[hardware]"; {_WITHOUT}'
        ) from None
