"""What can go wrong, and how a caller is told.

Three families, one exit status each (``simlib --help`` lists them): bad input is 2, a file that exists
but fails verification is 1, a missing optional part is 3. Every message is one line that says where
(file, key or offset), what was found and what was expected.

`Reason` is the one list of names a device, a boot loader or a verifier may give for refusing or failing;
results, tables and messages use these names and never free text.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an outcome is what it is. The value is what tables and messages show."""

    NONE = "none"
    # an image, by the boot loader's or the verifier's check
    NOT_AN_IMAGE = "not-an-image"
    TRUNCATED = "truncated"
    HEADER_INVALID = "header-invalid"
    TLV_INVALID = "tlv-invalid"
    TLV_UNKNOWN = "tlv-unknown"
    TLV_DUPLICATE = "tlv-duplicate"
    HASH_MISSING = "hash-missing"
    HASH_MISMATCH = "hash-mismatch"
    KEY_UNKNOWN = "key-unknown"
    KEY_REVOKED = "key-revoked"
    SIGNATURE_MISSING = "signature-missing"
    SIGNATURE_INVALID = "signature-invalid"
    SECURITY_COUNTER_MISSING = "security-counter-missing"
    SECURITY_COUNTER_LOW = "security-counter-low"
    VENDOR_MISMATCH = "vendor-mismatch"
    CLASS_MISMATCH = "class-mismatch"
    TRAILING_BYTES = "trailing-bytes"
    DECRYPTION_FAILED = "decryption-failed"
    OVERSIZE = "oversize"
    VERSION_LOW = "version-low"
    LOAD_ADDRESS_WRONG = "load-address-wrong"
    # a patch or an artefact
    NOT_A_PATCH = "not-a-patch"
    CODEC_UNKNOWN = "codec-unknown"
    PATCH_DAMAGED = "patch-damaged"
    WRONG_BASE = "wrong-base"
    RESULT_MISMATCH = "result-mismatch"
    MANIFEST_INVALID = "manifest-invalid"
    ARTEFACT_MISMATCH = "artefact-mismatch"
    # a device
    NO_VALID_IMAGE = "no-valid-image"
    STORAGE_SHORT = "storage-short"
    MEMORY_SHORT = "memory-short"
    WRITE_REFUSED = "write-refused"
    BATTERY_LOW = "battery-low"
    LINK_WEAK = "link-weak"
    DOWNLOAD_FAILED = "download-failed"
    POWER_CUT = "power-cut"
    SELF_TEST_FAILED = "self-test-failed"
    CRASH_LOOP = "crash-loop"
    HARDWARE_MISMATCH = "hardware-mismatch"
    NO_ARTEFACT = "no-artefact"
    ALREADY_INSTALLED = "already-installed"
    TRIAL_PENDING = "trial-pending"
    BATTERY_EMPTY = "battery-empty"
    BROWN_OUT = "brown-out"
    BOOT_LOOP = "boot-loop"
    BOND_LOST = "bond-lost"
    CERTIFICATE_LOST = "certificate-lost"
    SETTINGS_CORRUPTED = "settings-corrupted"
    BACKUP_FAILED = "backup-failed"
    FRAGMENTS_MISSING = "fragments-missing"
    # the owner, the phone and the place
    CONSENT_REFUSED = "consent-refused"
    PERMISSION_REFUSED = "permission-refused"
    OUT_OF_RANGE = "out-of-range"
    SESSION_ENDED = "session-ended"
    WENT_AWAY = "went-away"
    WINDOW_CLOSED = "window-closed"
    # the rollout
    ROLLOUT_HALTED = "rollout-halted"
    HORIZON = "horizon"
    INTERRUPTED = "interrupted"
    NOT_OFFERED = "not-offered"
    OBSERVED = "observed"  # the inventory says so


class SimlibError(Exception):
    """The root of every error simlib raises on purpose; `exit_status` is the command line's."""

    exit_status = 1


class InputError(SimlibError):
    """Bad input: where it is, what was found, what was expected. Exit status 2."""

    exit_status = 2


class Refused(SimlibError):
    """Bytes that exist but fail verification, with the typed `reason`. Exit status 1."""

    exit_status = 1

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class MissingPartError(SimlibError):
    """An optional part is not installed; the message says how to install it. Exit status 3."""

    exit_status = 3
